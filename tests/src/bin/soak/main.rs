//! Three nodes with mixed load over links that are cut, stalled and swallowed at random, for as long as one likes:
//! `cargo run --release -p grid-tests --bin soak -- --minutes 60`.
//!
//! Each minute the load stops until all is quiet, and what is left then is counted and printed. The last line is the
//! verdict: all calls accounted for; memory, descriptors and tasks where they were after the first minutes. If it is
//! not so, the exit code is 1.

mod guests;
mod mesh;
mod pacer;
mod sample;
mod weather;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use grid_tests::allocator::Counting;
use tokio::sync::watch;

use crate::mesh::Mesh;
use crate::sample::{Sample, verdict};

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    let Some(minutes) = minutes() else {
        eprintln!("usage: soak [--minutes <count>]");
        return ExitCode::from(2);
    };
    let mesh = Mesh::start().await;
    let mut samples = Vec::new();
    println!("{}", Sample::HEADER);
    for minute in 1..=minutes {
        let start = Instant::now();
        load(&mesh).await;
        mesh.quiet().await;
        samples.push(Sample::take(&mesh, samples.last(), minute, start.elapsed()));
        println!("{}", samples.last().expect("one was taken"));
    }
    let (ledger, reconnects) = (mesh.ledger.to_string(), mesh.reconnects());
    let faults = verdict(&samples, &mesh);
    println!("{ledger}; {reconnects} reconnections, {} guests", mesh.guests());
    for fault in &faults {
        println!("fault: {fault}");
    }
    println!("verdict: {}", if faults.is_empty() { "flat, and all calls accounted for" } else { "not good" });
    if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A time of load, guests and weather, until all calls of it have ended.
async fn load(mesh: &Mesh) {
    let stop = watch::Sender::new(false);
    let loading = async {
        tokio::join!(
            pacer::pace(mesh, stop.subscribe()),
            guests::come_and_go(mesh, stop.subscribe()),
            weather::change(mesh, stop.subscribe()),
        )
    };
    let timer = async {
        tokio::time::sleep(LOAD).await;
        stop.send_replace(true);
    };
    tokio::join!(loading, timer);
}

/// `None` if the arguments are others.
fn minutes() -> Option<u32> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => Some(60),
        ["--minutes", count] => count.parse().ok().filter(|count| *count > 0),
        _ => None,
    }
}

/// What is left of a minute when it has become quiet.
const LOAD: Duration = Duration::from_secs(55);

//! A node in a process that has no file descriptors left.

use std::time::Duration;

use bytes::Bytes;
use grid::{Connection, Manager};
use grid_tests::load::serve;
use grid_tests::memory::dials;
use grid_tests::mesh::{Place, only, quick, soon};
use grid_tests::probe::{ECHO, Probe};
use grid_tests::process::cpu_time;
use grid_tests::proxy::Proxy;
use tokio::time::{Instant, sleep};

use crate::PROCESS;
use crate::child::{ChildNode, free_name};

const DESCRIPTORS: u32 = 40;
const ACCEPTS_NOT: &str = "cannot accept connections";

async fn guest(child: &ChildNode) -> Option<Connection> {
    let guest = grid::connect(&*child.name).timeouts(|timeouts| {
        timeouts.handshake = Duration::from_millis(500);
        // One that is cut off in between stays away.
        timeouts.reconnect_min = Duration::from_secs(3600);
        timeouts.reconnect_max = Duration::from_secs(3600);
    });
    guest.await.ok()
}

/// Lets guests in until the log says that no more can be.
async fn fill(child: &ChildNode) -> Vec<Connection> {
    let mut guests = Vec::new();
    while child.logged(ACCEPTS_NOT) == 0 {
        guests.extend(guest(child).await);
    }
    guests
}

/// The share of one processor that the process takes while nothing is asked of it.
async fn share_of_cpu(child: &ChildNode) -> f64 {
    let took = || cpu_time(child.pid()).expect("Linux tells");
    let (start, before) = (Instant::now(), took());
    sleep(Duration::from_secs(1)).await;
    (took() - before).as_secs_f64() / start.elapsed().as_secs_f64()
}

async fn assert_all_work(connections: &[Connection]) {
    for connection in connections {
        assert_eq!(soon(connection.single(ECHO, "x").into_future()).await, Ok(Bytes::from("x")));
    }
}

async fn neighbour(name: &str, place: &Place) -> Manager {
    serve(&Probe::default(), quick(place.builder())).peers([name]).start().await.expect("it starts")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_descriptors_keeps_its_links_and_accepts_again() {
    let _shared = PROCESS.read().await;
    let place = Place::new();
    let name = free_name(|name| dials(&place.name, name));
    let child = ChildNode::spawn_starved(&name, &place.name, DESCRIPTORS);
    let node = neighbour(&name, &place).await;
    soon(only(&node).ready()).await.expect("not shut down");

    let mut guests = soon(fill(&child)).await;
    let share = share_of_cpu(&child).await;
    assert_all_work(&guests).await;
    assert_all_work(&[only(&node)]).await;

    let first = guests.len();
    guests.truncate(first / 2);
    let start = Instant::now();
    let new = soon(async {
        loop {
            if let Some(guest) = guest(&child).await {
                return guest;
            }
        }
    });
    let new = new.await;
    let again = start.elapsed();
    assert_all_work(std::slice::from_ref(&new)).await;
    assert_all_work(&guests).await;
    println!("no descriptors: {first} guests, {:.0} % of a processor, accepts again after {again:?}", share * 100.0);
    assert!(share < SPINNING, "{share} of a processor");
    assert_eq!(child.logged(ACCEPTS_NOT), 1, "the log says it once");
    assert_eq!(only(&node).stats().reconnects, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_descriptors_dials_again_when_it_has_some() {
    let _shared = PROCESS.read().await;
    let proxy = Proxy::start();
    let name = free_name(|name| dials(name, proxy.name()));
    let child = ChildNode::spawn_starved(&name, proxy.name(), DESCRIPTORS);
    let node = serve(&Probe::default(), proxy.builder()).peers([&*name]).start().await.expect("it starts");
    soon(only(&node).ready()).await.expect("not shut down");

    proxy.set_refusing(true);
    proxy.cut();
    let mut guests = soon(fill(&child)).await;
    let asked = guests[0].clone();
    let told = async || soon(asked.single(4_u8, "").into_future()).await.expect("its link is well");
    let cannot = async {
        while !String::from_utf8_lossy(&told().await).contains("Too many open files") {
            guests.extend(guest(&child).await);
        }
    };
    soon(cannot).await;
    let share = share_of_cpu(&child).await;
    assert_all_work(&guests).await;
    proxy.set_refusing(false);
    let start = Instant::now();
    guests.truncate(1);
    soon(only(&node).ready()).await.expect("not shut down");
    let again = start.elapsed();
    assert_all_work(&[only(&node)]).await;
    // Because it is refused, because the refusal comes sooner or later, and for want of descriptors.
    let logged = child.logged("cannot connect");
    println!(
        "no descriptors to dial: {:.0} % of a processor, connected {again:?} after there were some, {logged} log lines",
        share * 100.0
    );
    assert!((1..=3).contains(&logged), "{logged} lines");
    assert!(share < SPINNING, "{share} of a processor");
}

/// What a loop without a pause takes, on a machine with others.
const SPINNING: f64 = 0.5;

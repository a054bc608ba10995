//! What waits costs memory: connections without calls, streams without items.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::param::page_size;
use tokio::time::sleep;

use crate::calls::{Calls, Holds, echo};
use crate::case::{Case, Group, Sample};
use crate::figure::Figure;
use crate::item::{Check, item};
use crate::peers::{Grid, Tonic};

/// Connections to one server, each idle after one call.
async fn connections(first: impl Calls) -> Result<Sample> {
    let payload = item(0);
    // So that what a process allocates once is there.
    echo(&first, &payload).await?;
    idle(CONNECTIONS, async || {
        let connection = first.another().await?;
        echo(&connection, &payload).await?;
        Ok(connection)
    })
    .await
}

/// Streams on one connection, each idle after one item.
async fn streams(peer: impl Holds) -> Result<Sample> {
    let open = async || {
        let mut items = peer.hold().await?;
        Check::default().next(&mut items).await?;
        Ok(items)
    };
    drop(open().await?);
    idle(STREAMS, open).await
}

/// Makes so many of something, and measures what the process has grown by when they are idle.
async fn idle<T>(count: u32, make: impl AsyncFn() -> Result<T>) -> Result<Sample> {
    sleep(SETTLES).await;
    let before = resident_bytes()?;
    let mut made = Vec::new();
    let sample = Sample::of(async {
        for _ in 0..count {
            made.push(make().await?);
        }
        Ok(u64::from(count))
    })
    .await?;
    sleep(SETTLES).await;
    let grown = resident_bytes()?.saturating_sub(before);
    drop(made);
    Ok(Sample { kib_each: Some(kib(grown) / f64::from(count)), ..sample })
}

/// What this process has in memory.
fn resident_bytes() -> Result<usize> {
    let statm = fs::read_to_string(STATM).with_context(|| format!("{STATM} is there on Linux only"))?;
    parse_statm(&statm).map(|pages| pages * page_size())
}

/// Resident pages.
fn parse_statm(statm: &str) -> Result<usize> {
    let resident = statm.split_whitespace().nth(1).with_context(|| format!("{STATM} has two numbers: {statm:?}"))?;
    resident.parse().with_context(|| format!("{STATM} has numbers: {statm:?}"))
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn kib(bytes: usize) -> f64 {
    bytes as f64 / 1024.0
}

/// All cases of memory.
pub(crate) fn group() -> Group {
    let (link, stream) = (format!("connection-{CONNECTIONS}"), format!("stream-{STREAMS}"));
    let cases = vec![
        Case::new(NAME, link.clone(), "tonic".into(), |_| async { connections(Tonic::start().await?).await }),
        Case::new(NAME, link, "grid".into(), |_| async { connections(Grid::start(WINDOW).await?).await }),
        Case::new(NAME, stream.clone(), "tonic".into(), |_| async { streams(Tonic::start().await?).await }),
        Case::new(NAME, stream, "grid".into(), |_| async { streams(Grid::start(WINDOW).await?).await }),
    ];
    let cpu = Figure::new("µs of CPU to make each, of both ends together", |sample| Some(sample.cpu_micros_each()));
    let figures = vec![Figure::new("KiB of memory for each, of both ends together", |sample| sample.kib_each), cpu];
    Group { name: NAME, about: ABOUT, reference: "tonic", figures, ratios: vec![], cases }
}

const NAME: &str = "memory";
const ABOUT: &str = "\
What the resident memory of the process (on Linux only) grows by for each `connection`, of 200 to one server with one call of
512 bytes each, and for each `stream`, of 10,000 on one connection with one item of 512 bytes each, while they are idle. Both
ends are in it; the kernel's buffers are not. The allocator is the system's.";
const CONNECTIONS: u32 = 200;
const STREAMS: u32 = 10_000;
/// grid's default.
const WINDOW: u32 = 256;
/// Longer than what ends in the background takes.
const SETTLES: Duration = Duration::from_millis(200);
const STATM: &str = "/proc/self/statm";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_pages_are_the_second_number() {
        assert_eq!(parse_statm("1170 329 306 11 0 97 0\n").unwrap(), 329);
        assert!(parse_statm("1170").is_err());
        assert!(parse_statm("1170 many").is_err());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn memory_that_is_written_is_resident() {
        let before = resident_bytes().unwrap();
        let written = vec![1_u8; 64 << 20];
        assert!(resident_bytes().unwrap() >= before + written.len() / 2);
    }
}

//! What waits costs memory: connections without calls, streams without items. A peer brings [`Hold`].

use std::fs;
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::param::page_size;
use tokio::time::sleep;

use crate::case::{Case, Done, Group, Sample};
use crate::figure::Figure;
use crate::item::{Check, ITEM_BYTES, Incoming};
use crate::payload::Payload;
use crate::peers::{BareMux, GridBytes, Jsonrpsee, Tarpc, Tonic, WebSocket, capnp};
use crate::unary::Echo;

/// A connection on which streams can stay open.
pub(crate) trait Hold: Echo {
    /// Begins a stream in which the server sends one item, and nothing more for as long as it is open.
    fn hold(&self) -> impl Future<Output = Result<impl Incoming + 'static>> + Send;
}

/// Connections to one server, each idle after one call. A connection is a client that `connect` gives.
pub(crate) async fn connections<T>(connect: impl AsyncFn() -> Result<T>) -> Result<Sample> {
    // What a process allocates once is there with the first.
    let _first = connect().await?;
    idle(CONNECTIONS, connect).await
}

/// A connection that has carried a call.
async fn connected<E: Echo>(server: SocketAddr) -> Result<E> {
    let (echo, mut payload) = (E::connect(server).await?, Payload::new(ITEM_BYTES));
    let answer = echo.echo(payload.numbered(1)).await?;
    payload.check(answer.as_ref())?;
    Ok(echo)
}

/// Streams on one connection, each idle after one item.
async fn streams<H: Hold>() -> Result<Sample> {
    let peer: H = connected(H::serve().await?).await?;
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
        Ok(Done::units(count.into()))
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
    fn link<E: Echo>(column: &str) -> Case {
        Case::new(NAME, link_row(), column.into(), |_| async {
            let server = E::serve().await?;
            connections(async || connected::<E>(server).await).await
        })
    }
    fn stream<H: Hold>(column: &str) -> Case {
        Case::new(NAME, format!("stream-{STREAMS}"), column.into(), |_| streams::<H>())
    }
    let cases = vec![
        link::<BareMux<WebSocket>>("bare-mux"),
        link::<GridBytes>("grid"),
        link::<Tarpc>("tarpc"),
        link::<Tonic>("tonic"),
        link::<Jsonrpsee>("jsonrpsee"),
        Case::new(NAME, link_row(), "capnp".into(), |_| capnp::connections(ITEM_BYTES)),
        stream::<GridBytes>("grid"),
        stream::<Tonic>("tonic"),
    ];
    Group { name: NAME, about: ABOUT, unit: UNIT, reference: "grid", figures: FIGURES, cases }
}

fn link_row() -> String {
    format!("connection-{CONNECTIONS}")
}

const NAME: &str = "memory";
const UNIT: &str = "connections or streams";
const ABOUT: &str = "\
What the resident memory of the process grows by for each of 200 connections to one server, when each has carried one call
of 512 bytes and is idle, and for each of 10,000 streams on one connection, when each has carried one item of 512 bytes and
is idle. Both ends are in it, and what the allocator of the system (glibc's, as a rule) keeps; the kernel's buffers are not.
A connection of `grid` is that of a guest, so a node of its own at one end. On Linux only.";
const FIGURES: &[Figure] = &[
    KIB.beside(),
    Figure::new("µs of CPU to make each of the {unit}, of both ends together", |s| Some(s.cpu_micros_each())).beside(),
];
pub(crate) const KIB: Figure =
    Figure::new("KiB of memory for each of the {unit}, of both ends together", |sample| sample.kib_each);
const CONNECTIONS: u32 = 200;
const STREAMS: u32 = 10_000;
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
        let written = std::hint::black_box(vec![1_u8; 64 << 20]);
        assert!(resident_bytes().unwrap() >= before + written.len() / 2);
    }
}

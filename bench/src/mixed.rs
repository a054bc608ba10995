//! Small calls beside bulk: what they wait for, and what they cost it. A peer brings [`Download`], and [`Upload`] if it can.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use crate::case::{Case, Group, Plan, Sample, cpu_time};
use crate::figure::Figure;
use crate::item::{ITEM_BYTES, Incoming, bulk_item};
use crate::latency::Histogram;
use crate::payload::Payload;
use crate::peers::{BareStreams, GridBytes, Tarpc, Tonic};
use crate::unary::Echo;

/// A connection on which the server can send bulk.
pub(crate) trait Download: Echo {
    /// Begins a stream in which the server sends items of so many bytes, for as long as it is open.
    fn download(&self, item_bytes: u64) -> impl Future<Output = Result<impl Incoming + 'static>> + Send;
}

/// A connection on which the client can send bulk.
pub(crate) trait Upload: Echo {
    /// Sends the items to the server, in one stream.
    fn upload(&self, items: impl Iterator<Item = Bytes> + Send + 'static) -> impl Future<Output = Result<()>> + Send;
}

/// What goes on at once.
#[derive(Debug, Clone, Copy)]
struct Work {
    small: Small,
    bulk: Option<Stream>,
}

/// Where the small calls go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Small {
    /// The connection of the bulk.
    Same,
    /// Another connection to the same server.
    Other,
    /// There are none.
    Absent,
}

/// A stream of bulk.
#[derive(Debug, Clone, Copy)]
struct Stream {
    direction: Direction,
    item_bytes: u64,
}

#[derive(Debug, Clone, Copy)]
enum Direction {
    /// From the server, as the answers of the small calls.
    Down,
    /// To the server, as the small calls.
    Up,
}

impl Work {
    fn all() -> Vec<Self> {
        let mut all = vec![Self { small: Small::Same, bulk: None }];
        for direction in [Direction::Down, Direction::Up] {
            for item_bytes in BULK_BYTES {
                for small in [Small::Same, Small::Other, Small::Absent] {
                    all.push(Self { small, bulk: Some(Stream { direction, item_bytes }) });
                }
            }
        }
        all
    }

    fn row(self) -> String {
        match (self.bulk, self.small) {
            (None, _) => "small-alone".into(),
            (Some(bulk), Small::Same) => format!("{}-same", bulk.name()),
            (Some(bulk), Small::Other) => format!("{}-other", bulk.name()),
            (Some(bulk), Small::Absent) => format!("{}-bulk-alone", bulk.name()),
        }
    }
}

impl Stream {
    fn name(self) -> String {
        let size = if self.item_bytes < 1 << 20 {
            format!("{}KiB", self.item_bytes >> 10)
        } else {
            format!("{}MiB", self.item_bytes >> 20)
        };
        match self.direction {
            Direction::Down => size,
            Direction::Up => format!("{size}-up"),
        }
    }
}

/// Takes bulk for a time, and gives how many bytes that was inside of it.
async fn download(peer: impl Download, item_bytes: u64, span: Span) -> Result<u64> {
    let (mut items, mut bytes) = (peer.download(item_bytes).await?, 0);
    while Instant::now() < span.end {
        let item = items.next().await.context("bulk goes on until its stream is dropped")??;
        ensure!(item.len() as u64 == item_bytes, "an item has {} bytes", item.len());
        bytes += if span.has(Instant::now()) { item_bytes } else { 0 };
    }
    Ok(bytes)
}

/// Sends bulk for a time, and gives how many bytes that was inside of it. They stand for what arrived: both go at the same
/// speed once the windows are full.
async fn upload(peer: impl Upload, item_bytes: u64, span: Span) -> Result<u64> {
    let (item, sent) = (bulk_item(item_bytes), Arc::new(AtomicU64::new(0)));
    let meter = Arc::clone(&sent);
    let items = std::iter::from_fn(move || {
        let now = Instant::now();
        meter.fetch_add(if span.has(now) { item_bytes } else { 0 }, Ordering::Relaxed);
        (now < span.end).then(|| item.clone())
    });
    peer.upload(items).await?;
    Ok(sent.load(Ordering::Relaxed))
}

/// When it is measured.
#[derive(Debug, Clone, Copy)]
struct Span {
    begin: Instant,
    end: Instant,
}

impl Span {
    fn has(self, now: Instant) -> bool {
        (self.begin..self.end).contains(&now)
    }
}

/// Does all of the work for the time of the plan, each caller and the bulk in a task of its own.
async fn measure<E: Echo, F>(work: Work, plan: Plan, bulk: fn(E, u64, Span) -> F) -> Result<Sample>
where
    F: Future<Output = Result<u64>> + Send + 'static,
{
    let server = E::serve().await?;
    let peer = E::connect(server).await?;
    let small = if work.small == Small::Other { E::connect(server).await? } else { peer.clone() };
    let begin = Instant::now() + plan.warm_up;
    let span = Span { begin, end: begin + plan.time };
    let callers = if work.small == Small::Absent { 0 } else { CALLERS };
    let mut calls: JoinSet<_> = (0..callers).map(|_| call(small.clone(), span)).collect();
    let bulk = work.bulk.map(|Stream { item_bytes, .. }| tokio::spawn(bulk(peer, item_bytes, span)));

    sleep_until(span.begin.into()).await;
    let cpu_begin = cpu_time();
    sleep_until(span.end.into()).await;
    let (seconds, cpu_seconds) = (plan.time.as_secs_f64(), (cpu_time() - cpu_begin).as_secs_f64());

    let (mut units, mut latencies) = (0, Histogram::new());
    while let Some(of_one) = calls.join_next().await {
        let (count, of_one) = of_one??;
        (units, latencies) = (units + count, latencies.merge(&of_one));
    }
    let mut sample = Sample { units, seconds, cpu_seconds, latency: latencies.latency(), ..Sample::default() };
    if let Some((bulk, Stream { item_bytes, .. })) = bulk.zip(work.bulk) {
        let bytes = bulk.await??;
        sample.bulk_mib_per_second = Some(mib(bytes) / seconds);
        // Where there are no calls, items are counted.
        sample.units = if callers == 0 { bytes / item_bytes } else { units };
    }
    Ok(sample)
}

/// Small calls, one after the other: how many there were, and what each took.
async fn call(echo: impl Echo, span: Span) -> Result<(u64, Histogram)> {
    let (mut payload, mut count, mut latencies) = (Payload::new(ITEM_BYTES), 0, Histogram::new());
    for number in 0.. {
        let begun = Instant::now();
        if begun >= span.end {
            break;
        }
        let answer = echo.echo(payload.numbered(number)).await?;
        payload.check(answer.as_ref())?;
        if begun >= span.begin {
            count += 1;
            latencies.record(begun.elapsed());
        }
    }
    Ok((count, latencies))
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// All cases of small calls beside bulk.
pub(crate) fn group() -> Group {
    fn down<D: Download>(work: Work, column: &str) -> Case {
        Case::new(NAME, work.row(), column.into(), move |plan| measure::<D, _>(work, plan, download))
    }
    fn up<U: Upload>(work: Work, column: &str) -> Case {
        Case::new(NAME, work.row(), column.into(), move |plan| measure::<U, _>(work, plan, upload))
    }
    let cases = Work::all().into_iter().flat_map(|work| match work.bulk {
        Some(Stream { direction: Direction::Up, .. }) => {
            vec![up::<GridBytes>(work, "grid"), up::<Tonic>(work, "tonic")]
        }
        _ => vec![
            down::<BareStreams>(work, "bare-mux"),
            down::<GridBytes>(work, "grid"),
            down::<Tarpc>(work, "tarpc"),
            down::<Tonic>(work, "tonic"),
        ],
    });
    let cases = cases.collect();
    Group { name: NAME, about: ABOUT, unit: "calls", reference: "grid", figures: FIGURES, cases }
}

const NAME: &str = "mixed";
const ABOUT: &str = "\
Calls of 512 bytes by 4 callers beside a stream of items of 64 KiB or 1 MiB that goes as fast as it can, on the `same`
connection, on the `other` of two to the same server, or each alone. Bulk comes from the server or, where a row says `up`,
goes to it. tarpc has no streams, so its bulk is large answers, two at a time; `bare-mux` lets two items of bulk wait to be
written.";
const FIGURES: &[Figure] = &[
    Figure::P50,
    Figure::P99,
    Figure::new("k small calls/s", |sample| sample.latency.map(|_| sample.per_second() / 1e3)),
    BULK,
    Figure::CORES,
    // What one connection for all costs the small calls, and what they cost the bulk.
    Figure::P99.rows(&[
        ("64KiB-same", "64KiB-other"),
        ("1MiB-same", "1MiB-other"),
        ("64KiB-up-same", "64KiB-up-other"),
        ("1MiB-up-same", "1MiB-up-other"),
    ]),
    BULK.rows(&[
        ("64KiB-same", "64KiB-bulk-alone"),
        ("1MiB-same", "1MiB-bulk-alone"),
        ("64KiB-up-same", "64KiB-up-bulk-alone"),
        ("1MiB-up-same", "1MiB-up-bulk-alone"),
    ]),
];
const BULK: Figure = Figure::new("MiB/s of bulk", |sample| sample.bulk_mib_per_second);
/// Callers of small calls, each with one call at a time.
const CALLERS: u32 = 4;
/// Sizes of an item of bulk.
const BULK_BYTES: [u64; 2] = [64 << 10, 1 << 20];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::Shown;

    #[test]
    fn ratios_are_of_rows_that_there_are() {
        let group = group();
        let rows = group.rows();
        let shown = group.figures.iter().filter_map(|figure| match figure.shown {
            Shown::Rows(pairs) => Some(pairs),
            _ => None,
        });
        let pairs: Vec<_> = shown.flatten().collect();
        assert_eq!(pairs.len(), 8);
        assert!(pairs.iter().all(|(over, under)| rows.contains(over) && rows.contains(under)), "{pairs:?}");
    }
}

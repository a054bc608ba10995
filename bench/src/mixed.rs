//! Small calls beside bulk: what they wait for, and what they cost it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use futures_util::StreamExt;
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use crate::calls::{Bulk, echo};
use crate::case::{Case, Group, Plan, Sample, cpu_time};
use crate::figure::{Figure, Ratio};
use crate::item::{bulk_item, item};
use crate::peers::{Grid, Tonic};

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
            for item_bytes in ITEM_BYTES {
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

    /// Sends bulk for a time, and gives how many bytes that was inside of it.
    async fn run(self, peer: impl Bulk, span: Span) -> Result<u64> {
        match self.direction {
            Direction::Down => {
                let mut items = peer.download(self.item_bytes).await?;
                let mut bytes = 0;
                while Instant::now() < span.end {
                    let item = items.next().await.context("bulk goes on until its stream is dropped")??;
                    ensure!(item.len() as u64 == self.item_bytes, "an item has {} bytes", item.len());
                    bytes += if span.has(Instant::now()) { self.item_bytes } else { 0 };
                }
                Ok(bytes)
            }
            // What was sent stands for what arrived: both go at the same speed once the windows are full.
            Direction::Up => {
                let (item, sent) = (bulk_item(self.item_bytes), Arc::new(AtomicU64::new(0)));
                let meter = Arc::clone(&sent);
                let items = std::iter::from_fn(move || {
                    let now = Instant::now();
                    meter.fetch_add(if span.has(now) { item.len() as u64 } else { 0 }, Ordering::Relaxed);
                    (now < span.end).then(|| item.clone())
                });
                peer.upload(items).await?;
                Ok(sent.load(Ordering::Relaxed))
            }
        }
    }
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

/// Does all of the work for the time of the plan, each caller and the stream in a task of its own.
async fn measure(peer: impl Bulk, work: Work, plan: Plan) -> Result<Sample> {
    let begin = Instant::now() + plan.warm_up;
    let span = Span { begin, end: begin + plan.time };
    let small = if work.small == Small::Other { peer.another().await? } else { peer.clone() };
    let callers = if work.small == Small::Absent { 0 } else { CALLERS };
    let mut calls: JoinSet<_> = (0..callers).map(|_| call(small.clone(), span)).collect();
    let bulk = work.bulk.map(|bulk| tokio::spawn(bulk.run(peer, span)));

    sleep_until(span.begin.into()).await;
    let cpu_begin = cpu_time();
    sleep_until(span.end.into()).await;
    let (seconds, cpu_seconds) = (plan.time.as_secs_f64(), (cpu_time() - cpu_begin).as_secs_f64());

    let mut micros = Vec::new();
    while let Some(of_one) = calls.join_next().await {
        micros.extend(of_one??);
    }
    micros.sort_by(f64::total_cmp);
    let bytes = match bulk {
        Some(bulk) => Some(bulk.await??),
        None => None,
    };
    let items = bytes.zip(work.bulk).map_or(0, |(bytes, bulk)| bytes / bulk.item_bytes);
    Ok(Sample {
        units: if callers == 0 { items } else { micros.len() as u64 },
        seconds,
        cpu_seconds,
        p50_micros: percentile(&micros, 50),
        p99_micros: percentile(&micros, 99),
        bulk_mib_per_second: bytes.map(|bytes| mib(bytes) / seconds),
        ..Sample::default()
    })
}

/// Small calls, one after the other, and what each took in microseconds.
async fn call(peer: impl Bulk, span: Span) -> Result<Vec<f64>> {
    let (payload, mut micros) = (item(0), Vec::new());
    loop {
        let begin = Instant::now();
        if begin >= span.end {
            return Ok(micros);
        }
        echo(&peer, &payload).await?;
        if begin >= span.begin {
            micros.push(begin.elapsed().as_secs_f64() * 1e6);
        }
    }
}

/// What so many of a hundred are not above.
fn percentile(sorted: &[f64], percent: usize) -> Option<f64> {
    sorted.get(sorted.len().checked_sub(1)? * percent / 100).copied()
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// All cases of small calls beside bulk.
pub(crate) fn group() -> Group {
    let mut cases = Vec::new();
    for work in Work::all() {
        cases.push(Case::new(NAME, work.row(), "tonic".into(), move |plan| async move {
            measure(Tonic::start().await?, work, plan).await
        }));
        cases.push(Case::new(NAME, work.row(), "grid".into(), move |plan| async move {
            measure(Grid::start(WINDOW).await?, work, plan).await
        }));
    }
    let calls = Figure::new("k small calls/s", |s| s.p50_micros.map(|_| s.per_second() / 1e3));
    let cores = Figure { is_compared: false, ..Figure::new("cores kept busy", |s| Some(s.cores())) };
    let figures = vec![Figure::p50(), Figure::p99(), calls, Figure::bulk(), cores];
    Group { name: NAME, about: ABOUT, reference: "tonic", figures, ratios: ratios(), cases }
}

/// What sharing a connection costs the small calls, and what they cost the bulk.
fn ratios() -> Vec<Ratio> {
    let bulks = Work::all().into_iter().filter_map(|work| work.bulk.filter(|_| work.small == Small::Same));
    let ratio = |figure: Figure, row: String, over: String| Ratio { figure, row, over };
    bulks
        .map(Stream::name)
        .flat_map(|bulk| {
            [
                ratio(Figure::p99(), format!("{bulk}-same"), format!("{bulk}-other")),
                ratio(Figure::bulk(), format!("{bulk}-same"), format!("{bulk}-bulk-alone")),
            ]
        })
        .collect()
}

const NAME: &str = "mixed";
const ABOUT: &str = "\
Calls of 512 bytes by 4 callers beside a stream of items of 64 KiB or 1 MiB that goes as fast as it can, on the `same`
connection, on the `other` of two to the same server, or each alone. Bulk comes from the server or, where a row says `up`, goes
to it.";
/// Callers of small calls, each with one call at a time.
const CALLERS: u32 = 4;
const ITEM_BYTES: [u64; 2] = [64 << 10, 1 << 20];
/// grid's default.
const WINDOW: u32 = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_figure_that_was_measured() {
        let sorted: Vec<_> = (0..=100).map(f64::from).collect();
        assert_eq!(percentile(&sorted, 50), Some(50.0));
        assert_eq!(percentile(&sorted, 99), Some(99.0));
        assert_eq!(percentile(&[7.0], 99), Some(7.0));
        assert_eq!(percentile(&[], 99), None);
    }

    #[test]
    fn ratios_are_of_rows_that_there_are() {
        let group = group();
        let rows = group.rows();
        assert!(
            group.ratios.iter().all(|ratio| rows.contains(&ratio.row.as_str()) && rows.contains(&ratio.over.as_str()))
        );
        assert_eq!(group.ratios.len(), 8);
    }
}

//! What a case is: a name, and something to run that gives a sample. Knows neither peers nor how rounds are made.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::Result;
use futures_util::future::LocalBoxFuture;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::allocator::counted;
use crate::figure::Figure;
use crate::latency::{Histogram, Latency};

/// Cases that make one table.
pub(crate) struct Group {
    pub(crate) name: &'static str,
    /// What is measured, in a line or a few.
    pub(crate) about: &'static str,
    /// What is counted.
    pub(crate) unit: &'static str,
    /// The column that the others are compared with.
    pub(crate) reference: &'static str,
    /// What is shown, a table for each.
    pub(crate) figures: &'static [Figure],
    pub(crate) cases: Vec<Case>,
}

impl Group {
    /// What is done, in order.
    pub(crate) fn rows(&self) -> Vec<&str> {
        distinct(self.cases.iter().map(|case| case.row.as_str()))
    }

    /// Who does it, in order.
    pub(crate) fn columns(&self) -> Vec<&str> {
        distinct(self.cases.iter().map(|case| case.column.as_str()))
    }
}

fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut distinct = Vec::new();
    for name in names {
        if !distinct.contains(&name) {
            distinct.push(name);
        }
    }
    distinct
}

/// The name of a case. Also of one that there is not.
pub(crate) fn case_name(group: &str, row: &str, column: &str) -> String {
    format!("{group}/{row}/{column}")
}

/// One thing that is measured.
pub(crate) struct Case {
    group: &'static str,
    pub(crate) row: String,
    pub(crate) column: String,
    measure: Measure,
}

type Measure = Box<dyn Fn(Plan) -> LocalBoxFuture<'static, Result<Sample>>>;

impl Case {
    /// `row` is the work, `column` who does it.
    pub(crate) fn new<F>(
        group: &'static str,
        row: String,
        column: String,
        measure: impl Fn(Plan) -> F + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Sample>> + 'static,
    {
        Self { group, row, column, measure: Box::new(move |plan| Box::pin(measure(plan))) }
    }

    pub(crate) fn name(&self) -> String {
        case_name(self.group, &self.row, &self.column)
    }

    pub(crate) async fn measure(&self, plan: Plan) -> Result<Sample> {
        (self.measure)(plan).await
    }
}

/// For how long to measure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) warm_up: Duration,
    pub(crate) time: Duration,
    pub(crate) allocations: Allocations,
    /// Instead of as much as takes the time: this much, without a warm-up.
    pub(crate) units: Option<u64>,
}

/// Whether allocations are counted, for which the rest of the sample pays.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Allocations {
    Counted,
    Uncounted,
}

impl Plan {
    /// Does the work once and again, for more units each time, until it takes as long as the warm-up; then does as much
    /// as should take the measured time, and measures that.
    ///
    /// `work` does so many units, or so many of each of those that work at once, and tells what it did.
    pub(crate) async fn measure<F>(self, work: impl Fn(u64) -> F) -> Result<Sample>
    where
        F: Future<Output = Result<Done>>,
    {
        if let Some(units) = self.units {
            return Sample::of(work(units)).await;
        }
        let mut units = 1;
        loop {
            let sample = Sample::of(work(units)).await?;
            if sample.seconds >= self.warm_up.as_secs_f64() {
                let units = rounded(units, self.time.as_secs_f64() / sample.seconds);
                return self.last(work(units)).await;
            }
            units *= 2;
        }
    }

    async fn last(self, work: impl Future<Output = Result<Done>>) -> Result<Sample> {
        match self.allocations {
            Allocations::Uncounted => Sample::of(work).await,
            Allocations::Counted => {
                let (sample, count) = counted(Sample::of(work)).await;
                sample.map(|sample| Sample { allocations_each: Some(count as f64 / sample.units()), ..sample })
            }
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "an estimate")]
fn rounded(units: u64, factor: f64) -> u64 {
    ((units as f64 * factor) as u64).max(1)
}

/// What was done.
#[derive(Debug)]
pub(crate) struct Done {
    /// All together.
    pub(crate) units: u64,
    /// How long each took, if that was seen.
    pub(crate) latencies: Histogram,
}

impl Done {
    /// What was done here and there at the same time.
    pub(crate) fn and(self, other: &Self) -> Self {
        Self { units: self.units + other.units, latencies: self.latencies.merge(&other.latencies) }
    }

    /// So many units, and nothing is known of how long each took.
    pub(crate) fn units(units: u64) -> Self {
        Self { units, latencies: Histogram::new() }
    }
}

/// What one measurement gave. What a case does not measure is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) units: u64,
    pub(crate) seconds: f64,
    /// Of the whole process, so of both ends.
    pub(crate) cpu_seconds: f64,
    /// Of single units, where it was seen.
    #[serde(flatten)]
    pub(crate) latency: Option<Latency>,
    /// Of bulk, where there is some beside the units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) bulk_mib_per_second: Option<f64>,
    /// Resident memory of a unit, of both ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) kib_each: Option<f64>,
    /// Of the whole process, where they were counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) allocations_each: Option<f64>,
}

impl Sample {
    /// Measures some work.
    pub(crate) async fn of(work: impl Future<Output = Result<Done>>) -> Result<Self> {
        let (begin, cpu_begin) = (Instant::now(), cpu_time());
        let Done { units, latencies } = work.await?;
        let (seconds, cpu_seconds) = (begin.elapsed().as_secs_f64(), (cpu_time() - cpu_begin).as_secs_f64());
        Ok(Self { units, seconds, cpu_seconds, latency: latencies.latency(), ..Self::default() })
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.units() / self.seconds
    }

    pub(crate) fn cpu_micros_each(&self) -> f64 {
        self.cpu_seconds * 1e6 / self.units()
    }

    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    fn units(&self) -> f64 {
        self.units as f64
    }
}

/// What this process has used so far.
pub(crate) fn cpu_time() -> Duration {
    clock_gettime(ClockId::ProcessCPUTime).try_into().expect("a process has used no negative time")
}

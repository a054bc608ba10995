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
        format!("{}/{}/{}", self.group, self.row, self.column)
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
    /// So many units by each of those that work at once, without a warm-up, however long that takes.
    pub(crate) exactly: Option<u64>,
    pub(crate) allocations: Allocations,
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
        if let Some(units) = self.exactly {
            return Ok(Sample::untimed(&work(units).await?));
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
    /// So many units, and nothing is known of how long each took.
    pub(crate) fn units(units: u64) -> Self {
        Self { units, latencies: Histogram::new() }
    }
}

/// What one measurement gave.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) units: u64,
    pub(crate) seconds: f64,
    /// Of the whole process, so of both ends.
    pub(crate) cpu_seconds: f64,
    /// Of single units, where it was seen.
    #[serde(flatten)]
    pub(crate) latency: Option<Latency>,
    /// Of the whole process, where they were counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) allocations_each: Option<f64>,
}

impl Sample {
    async fn of(work: impl Future<Output = Result<Done>>) -> Result<Self> {
        let (begin, cpu_begin) = (Instant::now(), cpu_time());
        let Done { units, latencies } = work.await?;
        let (seconds, cpu_seconds) = (begin.elapsed().as_secs_f64(), (cpu_time() - cpu_begin).as_secs_f64());
        Ok(Self { units, seconds, cpu_seconds, latency: latencies.latency(), allocations_each: None })
    }

    /// Of what was done without a look at a clock: valgrind cannot give that of the process.
    fn untimed(done: &Done) -> Self {
        Self { units: done.units, seconds: 0.0, cpu_seconds: 0.0, latency: None, allocations_each: None }
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
fn cpu_time() -> Duration {
    clock_gettime(ClockId::ProcessCPUTime).try_into().expect("a process has used no negative time")
}

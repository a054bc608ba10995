//! What a case is: a name, and something to run that gives a sample. Knows neither peers nor how rounds are made.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::Result;
use futures_util::future::LocalBoxFuture;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::figure::{Figure, Ratio};

/// Cases that make one table.
pub(crate) struct Group {
    pub(crate) name: &'static str,
    /// What is measured, in a line or a few.
    pub(crate) about: &'static str,
    /// The column that the others are compared with.
    pub(crate) reference: &'static str,
    /// What is shown, a table for each.
    pub(crate) figures: Vec<Figure>,
    /// What is shown of one row beside another; a table of all, unless there are none.
    pub(crate) ratios: Vec<Ratio>,
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

    /// The name of the case at this place, if there is one.
    pub(crate) fn case_name(&self, row: &str, column: &str) -> String {
        name(self.name, row, column)
    }
}

fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut distinct = Vec::new();
    names.for_each(|name| {
        if !distinct.contains(&name) {
            distinct.push(name)
        }
    });
    distinct
}

fn name(group: &str, row: &str, column: &str) -> String {
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
        name(self.group, &self.row, &self.column)
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
}

impl Plan {
    /// Does the work once and again, for more units each time, until it takes as long as the warm-up; then does as much
    /// as should take the measured time, and measures that.
    ///
    /// `work` does so many units and gives how many there were in all.
    pub(crate) async fn measure<F>(self, work: impl Fn(u64) -> F) -> Result<Sample>
    where
        F: Future<Output = Result<u64>>,
    {
        let mut units = UNITS_FIRST;
        loop {
            let sample = Sample::of(work(units)).await?;
            if sample.seconds >= self.warm_up.as_secs_f64() {
                let units = rounded(units, self.time.as_secs_f64() / sample.seconds);
                return Sample::of(work(units)).await;
            }
            units *= 2;
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "an estimate")]
fn rounded(units: u64, factor: f64) -> u64 {
    ((units as f64 * factor) as u64).max(1)
}

/// What one measurement gave. What a case does not measure is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) units: u64,
    pub(crate) seconds: f64,
    /// Of the whole process, so of both ends.
    pub(crate) cpu_seconds: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) p50_micros: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) p99_micros: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) bulk_mib_per_second: Option<f64>,
    /// Resident memory for each unit, of both ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) kib_each: Option<f64>,
}

impl Sample {
    /// Measures some work, which gives how many units it did.
    pub(crate) async fn of(work: impl Future<Output = Result<u64>>) -> Result<Self> {
        let (begin, cpu_begin) = (Instant::now(), cpu_time());
        let units = work.await?;
        let (seconds, cpu_seconds) = (begin.elapsed().as_secs_f64(), (cpu_time() - cpu_begin).as_secs_f64());
        Ok(Self { units, seconds, cpu_seconds, ..Self::default() })
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.units() / self.seconds
    }

    pub(crate) fn cpu_micros_each(&self) -> f64 {
        self.cpu_seconds * 1e6 / self.units()
    }

    /// How many cores the process kept busy, on average.
    pub(crate) fn cores(&self) -> f64 {
        self.cpu_seconds / self.seconds
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

/// Units of the first try of a warm-up: so few that the slowest case takes some milliseconds for them.
const UNITS_FIRST: u64 = 16;

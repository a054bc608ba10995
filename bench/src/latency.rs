//! How long single units took: counts in buckets that grow with what they hold, and what is read out of them.

use std::iter::zip;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What is said of how long single units took.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Latency {
    pub(crate) p50_micros: f64,
    pub(crate) p99_micros: f64,
}

/// Counts of durations. Each octave has the same number of buckets, so a duration is known to a sixteenth of itself.
///
/// It is small, so that a thousand callers may each have one without crowding out of the caches what is measured.
#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    counts: Box<[u32; BUCKETS]>,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self { counts: Box::new([0; BUCKETS]) }
    }

    pub(crate) fn record(&mut self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        if let Some(count) = self.counts.get_mut(bucket(nanos)) {
            *count = count.saturating_add(1);
        }
    }

    pub(crate) fn merge(mut self, other: &Self) -> Self {
        for (count, more) in zip(self.counts.iter_mut(), other.counts.iter()) {
            *count = count.saturating_add(*more);
        }
        self
    }

    /// Nothing, if nothing was recorded.
    pub(crate) fn latency(&self) -> Option<Latency> {
        Some(Latency { p50_micros: self.quantile(0.5)?, p99_micros: self.quantile(0.99)? })
    }

    /// In µs. Within a bucket the durations are taken to be spread evenly.
    fn quantile(&self, quantile: f64) -> Option<f64> {
        let all: u64 = self.counts.iter().copied().map(u64::from).sum();
        let mut left = float(all) * quantile;
        for (index, count) in self.counts.iter().copied().map(u64::from).enumerate() {
            if count > 0 && left <= float(count) {
                let (floor, ceiling) = (float(floor(index)), float(floor(index + 1)));
                return Some((floor + (ceiling - floor) * left / float(count)) / 1e3);
            }
            left -= float(count);
        }
        None
    }
}

/// Where a duration is counted: the first bucket for all that are shorter than what it begins with, the last for all that
/// are longer.
fn bucket(nanos: u64) -> usize {
    let nanos = nanos.clamp(1 << OCTAVE_FIRST, (1 << OCTAVE_END) - 1);
    let octave = nanos.ilog2();
    let part = (nanos >> (octave - PARTS_BITS)) - PARTS;
    usize::try_from(u64::from(octave - OCTAVE_FIRST) * PARTS + part).unwrap_or(usize::MAX)
}

/// The shortest duration of a bucket, in nanoseconds.
fn floor(index: usize) -> u64 {
    let index = index as u64;
    let octave = index / PARTS + u64::from(OCTAVE_FIRST);
    (PARTS + index % PARTS) << (octave - u64::from(PARTS_BITS))
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn float(figure: u64) -> f64 {
    figure as f64
}

/// Buckets of an octave.
const PARTS: u64 = 1 << PARTS_BITS;
const PARTS_BITS: u32 = 4;
/// The first bucket begins with half a µs, which is less than any call takes.
const OCTAVE_FIRST: u32 = 9;
/// The last bucket ends with 17 s.
const OCTAVE_END: u32 = 34;
const BUCKETS: usize = ((OCTAVE_END - OCTAVE_FIRST) << PARTS_BITS) as usize;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_begins_where_the_one_before_it_ends() {
        for index in 0..BUCKETS {
            assert_eq!(bucket(floor(index)), index);
            assert_eq!(bucket(floor(index + 1) - 1), index);
        }
        assert_eq!((bucket(0), bucket(u64::MAX)), (0, BUCKETS - 1));
    }

    #[test]
    fn quantiles_are_known_to_a_sixteenth() {
        let (mut even, mut odd) = (Histogram::new(), Histogram::new());
        for micros in 1..=10_000 {
            let histogram = if micros % 2 == 0 { &mut even } else { &mut odd };
            histogram.record(Duration::from_micros(micros));
        }
        let latency = even.merge(&odd).latency().unwrap();
        assert!((4_700.0..5_300.0).contains(&latency.p50_micros), "{latency:?}");
        assert!((9_300.0..10_500.0).contains(&latency.p99_micros), "{latency:?}");
        assert_eq!(Histogram::new().latency(), None);
    }
}

//! What is made of samples: a figure is one table of a group.

use crate::case::Sample;

/// Something that a sample tells.
#[derive(Debug, Clone)]
pub(crate) struct Figure {
    /// What the table shows, with its unit.
    pub(crate) title: String,
    /// None where the case does not measure it.
    pub(crate) of: fn(&Sample) -> Option<f64>,
    /// Whether each cell also shows how many times the reference it is.
    pub(crate) is_compared: bool,
}

impl Figure {
    pub(crate) fn new(title: impl Into<String>, of: fn(&Sample) -> Option<f64>) -> Self {
        Self { title: title.into(), of, is_compared: true }
    }

    /// What a group of throughput shows, where `unit` is what is counted.
    pub(crate) fn throughput(unit: &str) -> Vec<Self> {
        vec![
            Self::new(format!("k {unit}/s"), |sample| Some(sample.per_second() / 1e3)),
            Self::new(format!("µs of CPU for each of the {unit}, of both ends together"), |sample| {
                Some(sample.cpu_micros_each())
            }),
            Self { is_compared: false, ..Self::new("cores kept busy, of both ends together", |s| Some(s.cores())) },
        ]
    }

    pub(crate) fn p50() -> Self {
        Self::new("µs of a call, median", |sample| sample.p50_micros)
    }

    pub(crate) fn p99() -> Self {
        Self::new("µs of a call, 99th percentile", |sample| sample.p99_micros)
    }

    pub(crate) fn bulk() -> Self {
        Self::new("MiB/s of bulk", |sample| sample.bulk_mib_per_second)
    }
}

/// What a figure of one row is in multiples of that of another, in each column by itself.
#[derive(Debug, Clone)]
pub(crate) struct Ratio {
    pub(crate) figure: Figure,
    pub(crate) row: String,
    pub(crate) over: String,
}

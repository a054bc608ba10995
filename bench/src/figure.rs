//! What is shown of a sample, a table for each.

use crate::case::Sample;

/// A number that is read out of a sample, and how it is shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figure {
    /// `{unit}` stands for what is counted.
    name: &'static str,
    pub(crate) of: fn(&Sample) -> Option<f64>,
    pub(crate) shown: Shown,
}

/// What a table of a figure has in a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    /// The figure.
    Alone,
    /// The figure, and how many times that of the reference it is.
    Beside,
    /// How many times the figure that of the reference is.
    Ratio,
    /// The figure of the first row divided by that of the second, for each of these pairs, in each column by itself.
    Rows(&'static [(&'static str, &'static str)]),
}

impl Figure {
    /// More is better.
    pub(crate) const RATE: Self = Self::new("k {unit}/s", |sample| Some(sample.per_second() / 1e3));
    /// Less is better.
    pub(crate) const CPU: Self =
        Self::new("µs of CPU for each of the {unit}, of both ends together", |sample| Some(sample.cpu_micros_each()));
    pub(crate) const CORES: Self =
        Self::new("cores kept busy, of both ends together", |sample| Some(sample.cpu_seconds / sample.seconds));
    /// Less is better.
    pub(crate) const P50: Self =
        Self::new("µs that half of the {unit} take at most (p50)", |sample| Some(sample.latency?.p50_micros));
    /// Less is better.
    pub(crate) const P99: Self =
        Self::new("µs that 99 of 100 {unit} take at most (p99)", |sample| Some(sample.latency?.p99_micros));

    /// Less is better.
    pub(crate) const ALLOCATIONS: Self =
        Self::new("allocations for each of the {unit}, of both ends together", |sample| sample.allocations_each);

    /// `{unit}` stands for what is counted.
    pub(crate) const fn new(name: &'static str, of: fn(&Sample) -> Option<f64>) -> Self {
        Self { name, of, shown: Shown::Alone }
    }

    /// The same, with how many times that of the reference beside it.
    pub(crate) const fn beside(self) -> Self {
        Self { shown: Shown::Beside, ..self }
    }

    /// How many times this figure of each column that of the reference is.
    pub(crate) const fn ratio(self) -> Self {
        Self { shown: Shown::Ratio, ..self }
    }

    /// This figure of the first row divided by that of the second, for each pair, in each column by itself.
    pub(crate) const fn rows(self, pairs: &'static [(&'static str, &'static str)]) -> Self {
        Self { shown: Shown::Rows(pairs), ..self }
    }

    /// What stands above the table.
    pub(crate) fn title(&self, unit: &str, reference: &str) -> String {
        let name = self.name.replace("{unit}", unit);
        match self.shown {
            Shown::Alone => name,
            Shown::Beside => format!("{name}, and how many times that of {reference}"),
            Shown::Rows(_) => format!("{name}, of one row divided by that of another"),
            Shown::Ratio => format!("{name}, that of {reference} divided by that of the column"),
        }
    }
}

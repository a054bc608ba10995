//! Samples: the file that keeps each, and the medians of a case.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::case::Sample;
use crate::figure::Figure;
use crate::machine::{describe, versions};

/// The file of each measurement, a line of JSON for each.
pub(crate) struct Log {
    file: File,
}

impl Log {
    /// Begins the file anew, with a line about the machine.
    pub(crate) fn create(path: &Path, workers: usize) -> Result<Self> {
        let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        let mut log = Self { file };
        log.line(&json!({ "machine": describe(), "workers": workers, "versions": versions() }))?;
        Ok(log)
    }

    pub(crate) fn write(&mut self, case: &str, round: u32, sample: &Sample) -> Result<()> {
        let (per_second, cpu_micros_each) = (sample.per_second(), sample.cpu_micros_each());
        self.line(&Line { case: case.into(), round, sample: *sample, per_second, cpu_micros_each })
    }

    fn line(&mut self, line: &impl Serialize) -> Result<()> {
        Ok(writeln!(self.file, "{}", serde_json::to_string(line)?)?)
    }
}

/// A measurement as it is kept. What follows from the sample is for other readers; it may be no number, if nothing was done.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    case: String,
    round: u32,
    #[serde(flatten)]
    sample: Sample,
    #[serde(skip_deserializing)]
    per_second: f64,
    #[serde(skip_deserializing)]
    cpu_micros_each: f64,
}

/// All samples of each case, by its name.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    /// Where they were taken.
    pub(crate) machine: String,
    of: BTreeMap<String, Vec<Sample>>,
}

impl Samples {
    /// None yet, to be taken on this machine.
    pub(crate) fn here() -> Self {
        Self { machine: describe(), ..Self::default() }
    }

    /// Reads what a [`Log`] wrote.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(BufReader::new(file)).with_context(|| format!("{} is not what a run wrote", path.display()))
    }

    fn parse(file: impl BufRead) -> Result<Self> {
        #[derive(Deserialize)]
        struct Head {
            machine: String,
        }
        let mut lines = file.lines();
        let head: Head = serde_json::from_str(&lines.next().context("it is empty")??)?;
        let mut samples = Self { machine: head.machine, ..Self::default() };
        for (index, line) in lines.enumerate() {
            let line: Line = serde_json::from_str(&line?).with_context(|| format!("in line {}", index + 2))?;
            samples.add(&line.case, line.sample);
        }
        Ok(samples)
    }

    pub(crate) fn add(&mut self, case: &str, sample: Sample) {
        self.of.entry(case.into()).or_default().push(sample);
    }

    /// The median of a figure of a case.
    pub(crate) fn median(&self, case: &str, figure: &Figure) -> Option<f64> {
        let mut figures: Vec<_> = self.of.get(case)?.iter().filter_map(figure.of).collect();
        figures.sort_by(f64::total_cmp);
        let (low, high) = (figures.get(figures.len().checked_sub(1)? / 2)?, figures.get(figures.len() / 2)?);
        Some(f64::midpoint(*low, *high))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::Latency;

    const HEAD: &str = r#"{"machine":"a toaster","workers":2}"#;

    fn sample(p99_micros: Option<f64>) -> Sample {
        let latency = p99_micros.map(|p99_micros| Latency { p50_micros: 0.5, p99_micros });
        Sample { units: 3, seconds: 2.0, cpu_seconds: 1.0, latency, ..Sample::default() }
    }

    /// Also of a case in which nothing was done, for which some figures are no numbers.
    #[test]
    fn what_the_log_wrote_is_read_back() {
        let path = std::env::temp_dir().join(format!("grid-bench-{}.jsonl", std::process::id()));
        let mut log = Log::create(&path, 2).unwrap();
        log.write("a/b/c", 1, &sample(None)).unwrap();
        log.write("a/b/c", 2, &sample(Some(7.5))).unwrap();
        log.write("a/b/d", 1, &Sample::default()).unwrap();
        let samples = Samples::read(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        assert_eq!(samples.machine, describe());
        assert_eq!(samples.of.get("a/b/c").unwrap(), &[sample(None), sample(Some(7.5))]);
    }

    #[test]
    fn what_no_log_wrote_is_an_error_that_names_its_line() {
        let error = |text: &str| format!("{:#}", Samples::parse(text.as_bytes()).unwrap_err());
        assert_eq!(error(""), "it is empty");
        assert!(error(&format!("{HEAD}\n{{\"case\":\"a\"}}")).starts_with("in line 2: "));
        assert!(Samples::parse(HEAD.as_bytes()).unwrap().of.is_empty());
    }

    #[test]
    fn a_median_is_of_what_was_measured() {
        let mut samples = Samples::default();
        samples.add("a", sample(None));
        assert_eq!(samples.median("a", &Figure::P99), None, "not measured");
        assert_eq!(samples.median("b", &Figure::P99), None, "no such case");
        samples.add("a", sample(Some(4.0)));
        samples.add("a", sample(Some(1.0)));
        assert!((samples.median("a", &Figure::P99).unwrap() - 2.5).abs() < 1e-9);
        samples.add("a", sample(Some(100.0)));
        assert!((samples.median("a", &Figure::P99).unwrap() - 4.0).abs() < 1e-9);
    }
}

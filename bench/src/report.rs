//! What comes out: a header, lines of JSON, tables.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;
use serde_json::json;

use crate::case::{Case, Group, Plan, Sample};
use crate::figure::{Figure, Shown};
use crate::machine::{describe, version};
use crate::run::WORKERS;

/// Says what is measured, and where.
pub(crate) fn print_header(groups: &[Group], plan: Plan, rounds: u32) {
    let versions: Vec<_> = PACKAGES.iter().map(|package| format!("{package} {}", version(package))).collect();
    println!("{}", versions.join(", "));
    println!("machine: {}", describe());
    println!(
        "Client and server in one process, one tokio runtime with {WORKERS} workers, one TCP connection on loopback, no \
         TLS, where nothing\nelse is said. Each case in a process of its own, {rounds} rounds over all cases, each \
         measured for {:?} after a warm-up; medians.\n",
        plan.time
    );
    groups.iter().for_each(|group| println!("{}: {}\n", group.name, group.about));
}

/// The file of each measurement, a line of JSON for each.
pub(crate) struct Log {
    file: File,
}

impl Log {
    /// Begins the file anew, with a line about the machine.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        let mut log = Self { file };
        let versions: BTreeMap<_, _> = PACKAGES.iter().map(|package| (package, version(package))).collect();
        log.line(&json!({ "machine": describe(), "workers": WORKERS, "versions": versions }))?;
        Ok(log)
    }

    pub(crate) fn write(&mut self, case: &Case, round: u32, sample: &Sample) -> Result<()> {
        self.line(&Line {
            case: case.name(),
            round,
            sample,
            per_second: sample.per_second(),
            cpu_micros_each: sample.cpu_micros_each(),
        })
    }

    fn line(&mut self, line: &impl Serialize) -> Result<()> {
        Ok(writeln!(self.file, "{}", serde_json::to_string(line)?)?)
    }
}

/// One measurement in the file.
#[derive(Serialize)]
struct Line<'a> {
    case: String,
    round: u32,
    #[serde(flatten)]
    sample: &'a Sample,
    per_second: f64,
    cpu_micros_each: f64,
}

/// All samples of each case.
#[derive(Default)]
pub(crate) struct Samples {
    of: BTreeMap<String, Vec<Sample>>,
}

impl Samples {
    pub(crate) fn add(&mut self, case: &Case, sample: Sample) {
        self.of.entry(case.name()).or_default().push(sample);
    }

    /// The median of a figure of a case.
    fn median(&self, case: &Case, figure: &Figure) -> Option<f64> {
        let mut figures: Vec<_> = self.of.get(&case.name())?.iter().filter_map(figure.of).collect();
        figures.sort_by(f64::total_cmp);
        let (low, high) = (figures.get(figures.len().checked_sub(1)? / 2)?, figures.get(figures.len() / 2)?);
        Some(f64::midpoint(*low, *high))
    }
}

/// Prints the tables of each group.
pub(crate) fn print_tables(groups: &[Group], samples: &Samples) {
    for group in groups {
        for figure in group.figures {
            println!("{}: {}", group.name, figure.title(group.unit, group.reference));
            println!("{}\n", table(group, figure, samples));
        }
    }
}

/// A line for each work, a column for each who does it.
fn table(group: &Group, figure: &Figure, samples: &Samples) -> Table {
    let (mut rows, mut columns) = (Vec::new(), Vec::new());
    for case in &group.cases {
        if !rows.contains(&&case.row) {
            rows.push(&case.row);
        }
        if !columns.contains(&&case.column) {
            columns.push(&case.column);
        }
    }
    let value = |row: &str, column: &str| {
        let case = group.cases.iter().find(|case| case.row == row && case.column == column)?;
        samples.median(case, figure)
    };
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header([""].into_iter().chain(columns.iter().map(|column| column.as_str())));
    for row in rows {
        let base = value(row, group.reference);
        let cells = columns.iter().map(|column| match (value(row, column), base, figure.shown) {
            (None, _, _) | (_, None, Shown::Ratio) => String::new(),
            (Some(value), Some(base), Shown::Ratio) => short(base / value),
            (Some(value), Some(base), Shown::Beside) if group.reference != column.as_str() => {
                format!("{} ({:.2}x)", short(value), value / base)
            }
            (Some(value), _, Shown::Alone | Shown::Beside) => short(value),
        });
        table.add_row([row.clone()].into_iter().chain(cells));
    }
    table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table
}

/// Three digits, or all that stand before the point.
fn short(figure: f64) -> String {
    match figure {
        100.0.. => format!("{figure:.0}"),
        10.0.. => format!("{figure:.1}"),
        _ => format!("{figure:.2}"),
    }
}

/// What is measured.
const PACKAGES: [&str; 6] = ["grid-rpc", "tokio-tungstenite", "tarpc", "tonic", "jsonrpsee", "capnp-rpc"];

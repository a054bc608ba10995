//! What is printed: a header, tables.

use comfy_table::{CellAlignment, Table, presets};

use crate::case::{Group, Plan, case_name};
use crate::figure::{Figure, Shown};
use crate::machine::{describe, version};
use crate::results::Samples;

/// Says what is measured, and where.
pub(crate) fn print_header(groups: &[Group], plan: Plan, rounds: u32, workers: usize) {
    println!("grid {} beside tonic {}", version("grid-rpc"), version("tonic"));
    println!("machine: {}", describe());
    println!(
        "Client and server in one process, one tokio runtime with {workers} workers, TCP on loopback, no TLS.\nEach case \
         in a process of its own, {rounds} rounds over all cases, each measured for {:?} after a warm-up; medians.\n",
        plan.time
    );
    groups.iter().for_each(|group| println!("{}: {}\n", group.name, group.about));
}

/// Prints the tables of each group.
pub(crate) fn print_tables(groups: &[Group], samples: &Samples) {
    for group in groups {
        for figure in group.figures {
            println!("{}: {}", group.name, figure.title(group.unit, group.reference));
            println!("{}\n", table(group, figure, samples));
        }
        if !group.ratios.is_empty() {
            println!("{}: one row divided by another, in each column by itself", group.name);
            println!("{}\n", ratios(group, samples));
        }
    }
}

/// A line for each work, a column for each who does it.
fn table(group: &Group, figure: &Figure, samples: &Samples) -> Table {
    let columns = group.columns();
    let mut table = with_header(&columns);
    for row in group.rows() {
        let value = |column: &str| samples.median(&case_name(group.name, row, column), figure);
        let base = value(group.reference);
        let cells: Vec<_> = columns
            .iter()
            .map(|column| match (value(column), base, figure.shown) {
                (None, _, _) | (_, None, Shown::Ratio) => String::new(),
                (Some(value), Some(base), Shown::Ratio) => short(base / value),
                (Some(value), Some(base), Shown::Beside) if group.reference != *column => {
                    format!("{} ({:.2}x)", short(value), value / base)
                }
                (Some(value), _, Shown::Alone | Shown::Beside) => short(value),
            })
            .collect();
        if cells.iter().any(|cell| !cell.is_empty()) {
            table.add_row([row.to_owned()].into_iter().chain(cells));
        }
    }
    aligned(table)
}

/// A line for each ratio.
fn ratios(group: &Group, samples: &Samples) -> Table {
    let columns = group.columns();
    let mut table = with_header(&columns);
    for ratio in &group.ratios {
        let cells = columns.iter().map(|column| {
            let value = |row: &str| samples.median(&case_name(group.name, row, column), &ratio.figure);
            let both = value(&ratio.row).zip(value(&ratio.over));
            both.map_or_else(String::new, |(value, over)| short(value / over))
        });
        table.add_row([format!("{}: {} / {}", ratio.name, ratio.row, ratio.over)].into_iter().chain(cells));
    }
    aligned(table)
}

fn with_header(columns: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header([""].iter().chain(columns));
    table
}

fn aligned(mut table: Table) -> Table {
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

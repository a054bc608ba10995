//! What is printed: a header, tables.

use comfy_table::{CellAlignment, Table, presets};

use crate::case::{Group, Plan};
use crate::figure::Figure;
use crate::machine::{describe, version};
use crate::results::Samples;

/// Says what is measured, where and how.
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
        for figure in &group.figures {
            println!("{}: {}{}", group.name, figure.title, beside(group, figure));
            println!("{}\n", table(group, figure, samples));
        }
        if !group.ratios.is_empty() {
            println!("{}: one row in multiples of another, in each column by itself", group.name);
            println!("{}\n", ratios(group, samples));
        }
    }
}

fn beside(group: &Group, figure: &Figure) -> String {
    if figure.is_compared { format!(", and how many times that of {}", group.reference) } else { String::new() }
}

/// A line for each work, a column for each who does it. Beside each figure how many times that of the reference.
fn table(group: &Group, figure: &Figure, samples: &Samples) -> Table {
    let columns = group.columns();
    let mut table = with_header(&columns);
    for row in group.rows() {
        let median = |column: &str| samples.median(&group.case_name(row, column), figure);
        let base = median(group.reference).filter(|_| figure.is_compared);
        let cells: Vec<_> = columns
            .iter()
            .map(|column| match (median(column), base) {
                (None, _) => String::new(),
                (Some(figure), Some(base)) if group.reference != *column => {
                    format!("{} ({:.2}x)", short(figure), figure / base)
                }
                (Some(figure), _) => short(figure),
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
            let median = |row: &str| samples.median(&group.case_name(row, column), &ratio.figure);
            let both = median(&ratio.row).zip(median(&ratio.over));
            both.map_or_else(String::new, |(figure, over)| format!("{:.2}x", figure / over))
        });
        let name = format!("{}: {} / {}", ratio.figure.title, ratio.row, ratio.over);
        table.add_row([name].into_iter().chain(cells));
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

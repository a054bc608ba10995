//! What is printed: a header, tables.

use comfy_table::{CellAlignment, Table, presets};

use crate::case::{Group, Plan, case_name};
use crate::figure::{Figure, Shown};
use crate::machine::{describe, versions};
use crate::results::Samples;

/// Says what is measured, and where.
pub(crate) fn print_header(groups: &[Group], plan: Plan, rounds: u32, workers: usize) {
    let versions: Vec<_> = versions().iter().map(|(package, version)| format!("{package} {version}")).collect();
    println!("{}", versions.join(", "));
    println!("machine: {}", describe());
    println!(
        "Client and server in one process, one tokio runtime with {workers} workers, one TCP connection on loopback, no \
         TLS, where nothing\nelse is said. Each case in a process of its own, {rounds} rounds over all cases, each \
         measured for {:?} after a warm-up; medians.\n",
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
    }
}

/// A column for each who does the work.
fn table(group: &Group, figure: &Figure, samples: &Samples) -> Table {
    let columns = group.columns();
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header([""].iter().chain(&columns));
    let value = |row: &str, column: &str| samples.median(&case_name(group.name, row, column), figure);
    let mut add = |row: String, cell: &dyn Fn(&str) -> String| {
        let cells: Vec<_> = columns.iter().map(|column| cell(column)).collect();
        // Not every group measures each of its figures in each row.
        if cells.iter().any(|cell| !cell.is_empty()) {
            table.add_row([row].into_iter().chain(cells));
        }
    };
    if let Shown::Rows(pairs) = figure.shown {
        for (over, under) in pairs {
            let ratio = |column: &str| Some(short(value(over, column)? / value(under, column)?));
            add(format!("{over} / {under}"), &|column| ratio(column).unwrap_or_default());
        }
    } else {
        for row in group.rows() {
            let base = value(row, group.reference);
            let is_base = |column: &str| column == group.reference;
            add(row.into(), &|column| cell(figure.shown, value(row, column), base, is_base(column)));
        }
    }
    table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table
}

/// What stands in the column of a value, or of none, beside the base.
fn cell(shown: Shown, value: Option<f64>, base: Option<f64>, is_base: bool) -> String {
    match (value, base, shown) {
        (None, _, _) | (_, None, Shown::Ratio) => String::new(),
        (Some(value), Some(base), Shown::Ratio) => short(base / value),
        (Some(value), Some(base), Shown::Beside) if !is_base => format!("{} ({:.2}x)", short(value), value / base),
        (Some(value), _, Shown::Alone | Shown::Beside | Shown::Rows(_)) => short(value),
    }
}

/// Three digits, or all that stand before the point.
fn short(figure: f64) -> String {
    match figure {
        100.0.. => format!("{figure:.0}"),
        10.0.. => format!("{figure:.1}"),
        _ => format!("{figure:.2}"),
    }
}

//! Instructions for each call or item, counted by callgrind: a figure that does not depend on what else the machine does.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result, bail, ensure};
use comfy_table::{Table, presets};

/// Counts the cases, and shows them beside what was written down in this file, or writes them down there.
pub(crate) fn run(path: &Path, write: bool) -> Result<()> {
    ensure!(Command::new("valgrind").arg("--version").output().is_ok(), "valgrind is not installed");
    let written = fs::read_to_string(path).unwrap_or_default();
    let before = parse(&written);
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(["instructions for each", "now", "written down", "difference"]);
    let mut text = String::from(HEADER);
    for case in CASES {
        let each = count(case)?;
        let (known, difference) = match before.get(case) {
            Some(known) => (known.to_string(), format!("{:+.1} %", difference(each, *known))),
            None => (String::new(), String::new()),
        };
        table.add_row([case.to_owned(), each.to_string(), known, difference]);
        text.push_str(&format!("{each:>8}  {case}\n"));
    }
    println!("{table}");
    if write {
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// What twice the work takes more than the work, so that start and end do not count.
fn count(case: &str) -> Result<u64> {
    let (once, twice) = (total(case, UNITS)?, total(case, 2 * UNITS)?);
    let callers = case.split('/').nth(1).and_then(|row| row.rsplit('-').next()?.parse().ok()).unwrap_or(1);
    Ok(twice.saturating_sub(once) / (UNITS * callers))
}

/// Instructions of a process that does a case so often, both ends on one thread.
fn total(case: &str, units: u64) -> Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(env::current_exe()?)
        .args(["--one", case, "--workers", "0", "--units", &units.to_string()])
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{case} failed under valgrind: {said}");
    match said.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok()) {
        Some(total) => Ok(total),
        None => bail!("valgrind counted nothing: {said}"),
    }
}

fn parse(text: &str) -> BTreeMap<&str, u64> {
    let counts = text.lines().filter_map(|line| {
        let (each, case) = line.trim().split_once("  ")?;
        Some((case, each.parse().ok()?))
    });
    counts.collect()
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn difference(now: u64, before: u64) -> f64 {
    (now as f64 / before as f64 - 1.0) * 100.0
}

/// Of each caller or stream.
const UNITS: u64 = 1000;
const CASES: [&str; 6] = [
    "unary/512B-1/grid",
    "unary/512B-1/grid-raw",
    "unary/512B-64/grid",
    "unary/512B-64/grid-raw",
    "streams/response-1/grid-w256",
    "streams/request-1/grid-w256",
];
const HEADER: &str = "\
Instructions in user space for each call or item, both ends together, on one thread, with a task for each handler, as
none is quick under callgrind; `cargo run --release -- --instructions` compares with this, `--write` too writes it anew.

";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_down_is_read_again() {
        let text = format!("{HEADER}    9000  unary/512B-1/grid\n   10000  streams/response-1/grid-w256\n");
        assert_eq!(parse(&text), [("unary/512B-1/grid", 9000), ("streams/response-1/grid-w256", 10_000)].into());
    }
}

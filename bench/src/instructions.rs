//! Instructions for each call or item, counted by callgrind: a figure that does not depend on what else the machine does.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result, bail, ensure};
use comfy_table::{Table, presets};

/// Counts the cases that are wanted, and shows them beside what was written down in this file, or writes them down there.
pub(crate) fn run(path: &Path, write: bool, wants: impl Fn(&str) -> bool) -> Result<()> {
    ensure!(
        cfg!(feature = "instructions"),
        "needs a feature: cargo run --release --features instructions -- --instructions"
    );
    let tools = format!("{}, {}, {}", version("rustc")?, version("valgrind")?, env::consts::ARCH);
    let written = fs::read_to_string(path).unwrap_or_default();
    if !written.contains(&tools) {
        println!("counted with {tools}, and not with what it was written down with\n");
    }
    let before = parse(&written);
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(["instructions for each", "now", "written down", "difference"]);
    let mut text = format!("{HEADER}\n{tools}\n\n");
    for case in CASES.into_iter().filter(|case| wants(case)) {
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
    let callers = case.split('/').nth(1).and_then(|row| row.rsplit('-').next()?.parse().ok()).unwrap_or(1);
    let (once, twice) = (total(case, UNITS / callers)?, total(case, 2 * UNITS / callers)?);
    Ok(twice.saturating_sub(once) / UNITS)
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

/// What a program says that it is.
fn version(program: &str) -> Result<String> {
    let output = Command::new(program).arg("--version").output();
    let output = output.with_context(|| format!("{program} is needed, and does not start"))?;
    Ok(String::from_utf8(output.stdout)?.trim().into())
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

/// Of all callers or streams together: a hundred of each of 64.
const UNITS: u64 = 6400;
const CASES: [&str; 6] = [
    "unary/512B-1/grid",
    "unary/512B-1/grid-raw",
    "unary/512B-64/grid",
    "unary/512B-64/grid-raw",
    "streams/response-1/grid-w1024",
    "streams/request-1/grid-w1024",
];
const HEADER: &str = "\
Instructions in user space for each call or item of 512 bytes, both ends together, on one thread. How they are counted and
written down: README.md.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_down_is_read_again() {
        let text =
            format!("{HEADER}\nrustc 1.0\n\n    9000  unary/512B-1/grid\n   10000  streams/response-1/grid-w1024\n");
        assert_eq!(parse(&text), [("unary/512B-1/grid", 9000), ("streams/response-1/grid-w1024", 10_000)].into());
    }

    #[test]
    fn each_case_that_is_counted_is_one_that_can_be_measured() {
        let names: Vec<_> =
            crate::groups().iter().flat_map(|group| &group.cases).map(crate::case::Case::name).collect();
        CASES.iter().for_each(|case| assert!(names.iter().any(|name| name == case), "{case}"));
    }
}

//! What a call and an item cost in instructions, which does not depend on how busy the machine is.
//!
//! A case runs under callgrind for so many units and for twice as many. The difference is what those units take, without
//! all that is before and behind them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use anyhow::{Context, Result, bail, ensure};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only cases whose names contain one of these.
    filters: Vec<String>,
    /// Writes the counts down.
    #[arg(long)]
    write: bool,
    /// Keeps what callgrind wrote in this directory, two files for each case, for `callgrind_annotate`.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

/// A case, and how much of it is done.
#[derive(Debug, Clone, Copy)]
struct Counted {
    case: &'static str,
    /// Callers or streams at once.
    at_once: u64,
    /// Calls or items of each; twice as many in the second run.
    units: u64,
}

impl Counted {
    const fn new(case: &'static str, at_once: u64, units: u64) -> Self {
        Self { case, at_once, units: units / at_once }
    }

    /// Instructions of a unit.
    fn count(self, dir: &Path) -> Result<u64> {
        let once = callgrind(self.case, self.units, dir)?;
        let twice = callgrind(self.case, 2 * self.units, dir)?;
        let more = twice.checked_sub(once).context("twice as much takes more")?;
        Ok(more / (self.at_once * self.units))
    }
}

/// Counts, and shows how they differ from those that are written down.
pub(crate) fn run(args: &Args) -> Result<()> {
    let valgrind = said_by("valgrind", &["--version"]).context("valgrind is needed, and is not installed")?;
    let here = said_by("rustc", &["--version"]).unwrap_or_else(|_| "an unknown rustc".into());
    let here = format!("{here}, {valgrind}, {}", env::consts::ARCH);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("instructions.txt");
    let written = fs::read_to_string(&path).unwrap_or_default();
    let before = parse(&written);
    if !before.is_empty() && !written.contains(&here) {
        println!("with {here}; what is written down was counted with something else, and may differ by that");
    }
    let temporary = env::temp_dir().join(format!("grid-instructions-{}", std::process::id()));
    let dir = args.keep.as_ref().unwrap_or(&temporary);
    fs::create_dir_all(dir)?;
    let mut counts = before.clone();
    for counted in COUNTED {
        if args.filters.is_empty() || args.filters.iter().any(|filter| counted.case.contains(filter.as_str())) {
            let count = counted.count(dir).with_context(|| format!("in the case {}", counted.case))?;
            println!("{}", shown(counted.case, count, before.get(counted.case).copied()));
            counts.insert(counted.case.into(), count);
        }
    }
    if args.keep.is_none() {
        fs::remove_dir_all(dir)?;
    }
    if args.write {
        let grid = said_by("git", &["describe", "--always", "--dirty"]).unwrap_or_else(|_| "an unknown commit".into());
        fs::write(&path, table(&here, &grid, &counts)?)?;
        println!("written to {}", path.display());
    }
    Ok(())
}

/// Instructions in user space of a process of its own that does this.
fn callgrind(case: &str, units: u64, dir: &Path) -> Result<u64> {
    let file = dir.join(format!("{}.{units}.callgrind", case.replace('/', ".")));
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet", &format!("--callgrind-out-file={}", file.display())])
        .arg(env::current_exe()?)
        .args(["--one", case, "--exactly", &units.to_string()])
        .stdin(Stdio::null())
        .output()?;
    ensure!(output.status.success(), "it failed: {}", String::from_utf8_lossy(&output.stderr));
    total(&fs::read_to_string(&file)?)
}

/// What callgrind wrote as the sum of all.
fn total(profile: &str) -> Result<u64> {
    let Some(totals) = profile.lines().find_map(|line| line.strip_prefix("totals: ")) else {
        bail!("callgrind wrote no totals")
    };
    Ok(totals.trim().parse()?)
}

/// The counts of a table: lines of a case and a number.
fn parse(table: &str) -> BTreeMap<String, u64> {
    let line = |line: &str| {
        let (case, count) = line.rsplit_once(' ')?;
        Some((case.trim().to_owned(), count.parse().ok()?))
    };
    table.lines().filter(|line| line.contains('/')).filter_map(line).collect()
}

fn table(here: &str, grid: &str, counts: &BTreeMap<String, u64>) -> Result<String> {
    let mut table = format!("{ABOUT}\n{here}\ngrid at {grid}\n\n");
    for (case, count) in counts {
        writeln!(table, "{case:CASE_WIDTH$} {count:6}")?;
    }
    Ok(table)
}

/// A line of what is printed.
#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn shown(case: &str, count: u64, before: Option<u64>) -> String {
    let line = format!("{case:CASE_WIDTH$} {count:6}");
    match before {
        Some(before) => {
            let percent = (count as f64 / before as f64 - 1.0) * 100.0;
            format!("{line}  {percent:+5.1} % of the {before} written down")
        }
        None => line,
    }
}

/// What a program prints.
fn said_by(program: &str, args: &[&str]) -> Result<String> {
    let output = Command::new(program).args(args).current_dir(env!("CARGO_MANIFEST_DIR")).output()?;
    ensure!(output.status.success(), "{program} failed");
    Ok(String::from_utf8(output.stdout)?.trim().into())
}

const ABOUT: &str = "\
Instructions in user space for each call or item of 512 bytes, both ends together, on one thread.
Written by `cargo run --release -- instructions --write`.
";
/// Enough of each that what is done once in a while is done often.
const COUNTED: [Counted; 6] = [
    Counted::new("unary/512B-1/grid", 1, CALLS),
    Counted::new("unary/512B-1/grid-raw", 1, CALLS),
    Counted::new("unary/512B-64/grid", 64, CALLS),
    Counted::new("unary/512B-64/grid-raw", 64, CALLS),
    Counted::new("streams/response-1/grid-w256", 1, ITEMS),
    Counted::new("streams/response-64/grid-w256", 64, ITEMS),
];
/// A hundred by each of 64 callers.
const CALLS: u64 = 6_400;
/// Two windows of each of 64 streams.
const ITEMS: u64 = 64 * 512;
const CASE_WIDTH: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_down_is_read_again() {
        let counts =
            BTreeMap::from([("unary/512B-1/grid".to_owned(), 7_000), ("streams/response-1/grid".to_owned(), 9)]);
        assert_eq!(parse(&table("rustc 1.0 (a/b 2000-01-01)", "v1", &counts).unwrap()), counts);
    }

    #[test]
    fn each_case_that_is_counted_is_one_that_can_be_measured() {
        let names: Vec<_> = crate::groups().iter().flat_map(|group| &group.cases).map(crate::Case::name).collect();
        COUNTED.iter().for_each(|counted| assert!(names.contains(&counted.case.to_owned()), "{counted:?}"));
    }

    #[test]
    fn totals_are_found() {
        assert_eq!(total("events: Ir\nsummary: 13\ntotals: 12\n").unwrap(), 12);
        assert!(total("").is_err());
    }
}

//! The speed of grid beside that of its peers. What is measured and how: README.md.

mod allocator;
mod case;
mod figure;
mod instructions;
mod item;
mod latency;
mod machine;
mod payload;
mod peers;
mod report;
mod run;
mod runtime;
mod streams;
mod tls;
mod unary;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};

use crate::case::{Allocations, Case, Group, Plan};
use crate::report::Log;

/// Measures grid beside its peers.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Only cases whose names contain one of these, such as `streams`, `response-64` or `tonic`.
    filters: Vec<String>,
    /// Fewer and shorter rounds: a look in three minutes, not a result.
    #[arg(long)]
    quick: bool,
    /// How often each case is measured; medians are shown. [default: 5, quick: 3]
    #[arg(long)]
    rounds: Option<u32>,
    /// How long each measurement lasts, after a warm-up of a fifth of it. [default: 1, quick: 0.2]
    #[arg(long)]
    seconds: Option<f64>,
    /// Where each measurement goes, as lines of JSON.
    #[arg(long, default_value = "results.jsonl")]
    out: PathBuf,
    /// Prints the names of the cases.
    #[arg(long)]
    list: bool,
    /// Measures the one case of this name once, in this process, and prints the sample as JSON: what each round does
    /// in a process of its own, and what to give to a profiler.
    #[arg(long, value_name = "CASE")]
    one: Option<String>,
    /// With `--one`: so many calls by each caller, or items by each stream, on one thread, with a clock that stands still.
    #[arg(long, value_name = "UNITS", requires = "one")]
    exactly: Option<u64>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Counts the instructions of single calls and of items with valgrind, and compares them with what is written down.
    Instructions(instructions::Args),
}

impl Args {
    fn plan(&self) -> Result<Plan> {
        let seconds = self.seconds.unwrap_or(if self.quick { 0.2 } else { 1.0 });
        ensure!((0.01..=600.0).contains(&seconds), "seconds must be 0.01 to 600");
        let time = Duration::from_secs_f64(seconds);
        Ok(Plan { warm_up: time / 5, time, exactly: None, allocations: Allocations::Uncounted })
    }

    fn rounds(&self) -> u32 {
        self.rounds.unwrap_or(if self.quick { 3 } else { 5 }).max(1)
    }

    fn wants(&self, case: &Case) -> bool {
        self.filters.is_empty() || self.filters.iter().any(|filter| case.name().contains(filter))
    }
}

fn main() -> Result<()> {
    let args = Args::parse();
    if let Some(Command::Instructions(args)) = &args.command {
        return instructions::run(args);
    }
    let mut groups = groups();
    if let Some(name) = &args.one {
        let mut cases = groups.iter().flat_map(|group| &group.cases);
        let case = cases.find(|case| case.name() == *name).with_context(|| format!("there is no case {name}"))?;
        let sample = match args.exactly {
            Some(units) => run::exactly(case, units)?,
            None => run::here(case, args.plan()?)?,
        };
        println!("{}", serde_json::to_string(&sample)?);
        return Ok(());
    }
    for group in &mut groups {
        group.cases.retain(|case| args.wants(case));
    }
    groups.retain(|group| !group.cases.is_empty());
    ensure!(!groups.is_empty(), "no case has a name like that; see --list");
    if args.list {
        groups.iter().flat_map(|group| &group.cases).for_each(|case| println!("{}", case.name()));
        return Ok(());
    }
    let (plan, rounds) = (args.plan()?, args.rounds());
    report::print_header(&groups, plan, rounds);
    let mut log = Log::create(&args.out)?;
    let samples = run::rounds(&groups, plan, rounds, &mut log)?;
    report::print_tables(&groups, &samples);
    println!("each measurement: {}", args.out.display());
    Ok(())
}

/// All that can be measured.
fn groups() -> Vec<Group> {
    vec![unary::group(), unary::two_runtimes(), unary::tls(), unary::allocations(), streams::group()]
}

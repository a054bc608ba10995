//! The speed of grid beside that of its peers. What is measured and how: README.md.

mod allocator;
mod case;
mod chart;
mod figure;
mod instructions;
mod item;
mod latency;
mod links;
mod machine;
mod memory;
mod mixed;
mod payload;
mod peers;
mod plot;
mod report;
mod results;
mod run;
mod runtime;
mod streams;
mod tls;
mod unary;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;

use crate::case::{Allocations, Group, Plan};
use crate::results::{Log, Samples};

/// Measures grid beside its peers.
#[derive(Debug, Parser)]
struct Args {
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
    /// Worker threads of the runtime, which both ends share.
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// Where each measurement goes, as lines of JSON.
    #[arg(long, default_value = "results.jsonl")]
    out: PathBuf,
    /// Measures nothing, and shows what an earlier run wrote to this file.
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Draws pictures into this directory too, as SVG.
    #[arg(long, value_name = "DIR")]
    plots: Option<PathBuf>,
    /// Prints the names of the cases.
    #[arg(long)]
    list: bool,
    /// Measures the one case of this name once, in this process, and prints the sample as JSON: what each round does
    /// in a process of its own, and what to give to a profiler.
    #[arg(long, value_name = "CASE")]
    one: Option<String>,
    /// With `--one`: does so much for each caller or stream, however long it takes.
    #[arg(long, requires = "one")]
    units: Option<u64>,
    /// Counts instructions for each call and item with callgrind, and compares them with `instructions.txt`. Needs the
    /// feature `instructions`.
    #[arg(long)]
    instructions: bool,
    /// With `--instructions`: counts all, and writes them down there.
    #[arg(long, requires = "instructions", conflicts_with = "filters")]
    write: bool,
}

impl Args {
    fn plan(&self) -> Result<Plan> {
        let seconds = self.seconds.unwrap_or(if self.quick { 0.2 } else { 1.0 });
        ensure!((0.01..=600.0).contains(&seconds), "seconds must be 0.01 to 600");
        let time = Duration::from_secs_f64(seconds);
        Ok(Plan { warm_up: time / 5, time, allocations: Allocations::Uncounted, units: self.units })
    }

    fn rounds(&self) -> u32 {
        self.rounds.unwrap_or(if self.quick { 3 } else { 5 }).max(1)
    }

    fn wants(&self, case: &str) -> bool {
        self.filters.is_empty() || self.filters.iter().any(|filter| case.contains(filter))
    }
}

fn main() -> Result<()> {
    let args = Args::parse();
    let mut groups = groups();
    if let Some(name) = &args.one {
        let mut cases = groups.iter().flat_map(|group| &group.cases);
        let case = cases.find(|case| case.name() == *name).with_context(|| format!("there is no case {name}"))?;
        println!("{}", serde_json::to_string(&run::here(case, args.plan()?, args.workers)?)?);
        return Ok(());
    }
    if args.instructions {
        return instructions::run(Path::new("instructions.txt"), args.write, |case| args.wants(case));
    }
    for group in &mut groups {
        group.cases.retain(|case| args.wants(&case.name()));
    }
    groups.retain(|group| !group.cases.is_empty());
    ensure!(!groups.is_empty(), "no case has a name like that; see --list");
    if args.list {
        groups.iter().flat_map(|group| &group.cases).for_each(|case| println!("{}", case.name()));
        return Ok(());
    }
    let samples = match &args.from {
        Some(path) => {
            let samples = Samples::read(path)?;
            println!("machine: {}\n", samples.machine);
            samples
        }
        None => measured(&groups, &args)?,
    };
    report::print_tables(&groups, &samples);
    if let Some(directory) = &args.plots {
        plot::draw(directory, &groups, &samples)?.iter().for_each(|path| println!("drawn: {}", path.display()));
    }
    Ok(())
}

fn measured(groups: &[Group], args: &Args) -> Result<Samples> {
    let (plan, rounds) = (args.plan()?, args.rounds());
    report::print_header(groups, plan, rounds, args.workers);
    let mut log = Log::create(&args.out, args.workers)?;
    let samples = run::rounds(groups, plan, args.workers, rounds, &mut log)?;
    println!("each measurement: {}\n", args.out.display());
    Ok(samples)
}

/// All that can be measured.
fn groups() -> Vec<Group> {
    vec![
        unary::group(),
        unary::two_runtimes(),
        unary::tls(),
        unary::allocations(),
        streams::group(),
        mixed::group(),
        links::group(),
        links::idle_peers(),
        memory::group(),
    ]
}

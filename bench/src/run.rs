//! Rounds over all cases, each measured in a process of its own.

use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use std::{env, process, thread};

use anyhow::{Context, Result, ensure};
use tokio::runtime::Builder;

use crate::case::{Allocations, Case, Group, Plan, Sample};
use crate::report::{Log, Samples};

/// Measures a case in this process: one runtime for both ends.
pub(crate) fn here(case: &Case, plan: Plan) -> Result<Sample> {
    thread::spawn(move || {
        thread::sleep(PATIENCE + 10 * plan.time);
        eprintln!("it hangs");
        process::exit(1);
    });
    let runtime = Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build()?;
    runtime.block_on(case.measure(plan))
}

/// Has each of those that work at once in a case do so many units, on one thread and with a clock of tokio that stands
/// still: so that the same is done each time, however slowly, as grid decides by the clock where handlers run.
pub(crate) fn exactly(case: &Case, units: u64) -> Result<Sample> {
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build()?;
    // The clock would leap to the next timer where all wait for a socket; it does not while something blocks.
    let (end, is_over) = mpsc::channel::<()>();
    runtime.spawn_blocking(move || is_over.recv().is_ok());
    let plan = Plan {
        warm_up: Duration::ZERO,
        time: Duration::ZERO,
        exactly: Some(units),
        allocations: Allocations::Uncounted,
    };
    let sample = runtime.block_on(case.measure(plan));
    drop(end);
    sample
}

/// Measures each case once a round, so that what else goes on in the machine falls on all of them.
pub(crate) fn rounds(groups: &[Group], plan: Plan, rounds: u32, log: &mut Log) -> Result<Samples> {
    let mut samples = Samples::default();
    for round in 1..=rounds {
        eprintln!("round {round} of {rounds}");
        for case in groups.iter().flat_map(|group| &group.cases) {
            let sample = apart(case, plan).with_context(|| format!("in the case {}", case.name()))?;
            log.write(case, round, &sample)?;
            samples.add(case, sample);
        }
    }
    Ok(samples)
}

/// Measures a case in a process of its own.
fn apart(case: &Case, plan: Plan) -> Result<Sample> {
    let output = Command::new(env::current_exe()?)
        .args(["--one", &case.name(), "--seconds", &plan.time.as_secs_f64().to_string()])
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(output.status.success(), "it failed: {}", output.status);
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Worker threads of the runtime.
pub(crate) const WORKERS: usize = 2;
/// Far longer than the warm-up and what surrounds it take.
const PATIENCE: Duration = Duration::from_secs(60);

//! Rounds over all cases, each measured in a process of its own.

use std::process::{Command, Stdio};
#[cfg(feature = "instructions")]
use std::sync::mpsc;
use std::time::Duration;
use std::{env, process, thread};

use anyhow::{Context, Result, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::Builder;

use crate::case::{Case, Group, Plan, Sample};
use crate::results::{Log, Samples};

/// Measures a case in this process: one runtime for both ends, on this thread if there are no workers.
pub(crate) fn here(case: &Case, plan: Plan, workers: usize) -> Result<Sample> {
    thread::spawn(move || {
        thread::sleep(PATIENCE + 10 * plan.time);
        eprintln!("it hangs");
        process::exit(1);
    });
    allow_files();
    let runtime = match workers {
        #[cfg(feature = "instructions")]
        0 => return with_still_clock(case, plan),
        #[cfg(not(feature = "instructions"))]
        0 => Builder::new_current_thread().enable_all().build()?,
        workers => Builder::new_multi_thread().worker_threads(workers).enable_all().build()?,
    };
    runtime.block_on(case.measure(plan))
}

/// On this thread, with a clock of tokio that stands still. grid decides by that clock where a handler runs, so it decides
/// as it would at full speed, however slowly callgrind does it.
#[cfg(feature = "instructions")]
fn with_still_clock(case: &Case, plan: Plan) -> Result<Sample> {
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build()?;
    // The clock would leap to the next timer where all wait for a socket; it does not while something blocks.
    let (end, is_over) = mpsc::channel::<()>();
    runtime.spawn_blocking(move || is_over.recv().is_ok());
    let sample = runtime.block_on(case.measure(plan));
    drop(end);
    sample
}

/// Lets this process have as many connections as it may: what shells give is often 1,024.
fn allow_files() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        eprintln!("many connections may fail: {error}");
    }
}

/// Measures each case once a round, so that what else goes on in the machine falls on all of them.
pub(crate) fn rounds(groups: &[Group], plan: Plan, workers: usize, rounds: u32, log: &mut Log) -> Result<Samples> {
    let mut samples = Samples::here();
    for round in 1..=rounds {
        eprintln!("round {round} of {rounds}");
        for case in groups.iter().flat_map(|group| &group.cases) {
            let sample = apart(case, plan, workers).with_context(|| format!("in the case {}", case.name()))?;
            log.write(&case.name(), round, &sample)?;
            samples.add(&case.name(), sample);
        }
    }
    Ok(samples)
}

/// Measures a case in a process of its own.
fn apart(case: &Case, plan: Plan, workers: usize) -> Result<Sample> {
    let output = Command::new(env::current_exe()?)
        .args(["--one", &case.name(), "--workers", &workers.to_string()])
        .args(["--seconds", &plan.time.as_secs_f64().to_string()])
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(output.status.success(), "it failed: {}", output.status);
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Far longer than the warm-up and what surrounds it take.
const PATIENCE: Duration = Duration::from_secs(60);

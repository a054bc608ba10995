//! Rounds over all cases, each measured in a process of its own.

use std::process::{Command, Stdio};
use std::time::Duration;
use std::{env, process, thread};

use anyhow::{Context, Result, ensure};
use tokio::runtime::Builder;

use crate::case::{Case, Group, Plan, Sample};
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

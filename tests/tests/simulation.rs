//! Whole nodes under faults of all kinds, from seeds: what must hold holds for each of them.
//!
//! `GRID_SIM_SEEDS` says how many seeds are run, `GRID_SIM_SEED` which one is the first: to run one again that has failed,
//! `GRID_SIM_SEED=17 GRID_SIM_SEEDS=1`.

#[path = "simulation/caller.rs"]
mod caller;
#[path = "simulation/judge.rs"]
mod judge;
#[path = "simulation/ledger.rs"]
mod ledger;
#[path = "simulation/plan.rs"]
mod plan;
#[path = "simulation/service.rs"]
mod service;
#[path = "simulation/world.rs"]
mod world;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use ledger::Outcome;
use world::run;

fn number(variable: &str, default: u64) -> u64 {
    let value = std::env::var(variable).ok();
    value.map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}

fn outcome_name(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "done",
        Outcome::GaveUp => "gave up",
        Outcome::Lost => "lost",
        Outcome::Failed(error) => match error {
            grid::CallError::Remote(_) => "remote",
            grid::CallError::Refused(refusal) => match refusal.reason() {
                grid::RefusalReason::Overloaded => "overloaded",
                grid::RefusalReason::Draining => "draining",
                _ => "panicked",
            },
            grid::CallError::Disconnected(_) => "disconnected",
            grid::CallError::DeadlineExceeded => "deadline",
            grid::CallError::Cancelled => "cancelled",
            _ => "other",
        },
    }
}

#[test]
fn each_call_ends_once_as_it_may_and_nothing_is_left_whatever_happens() {
    let (first, count) = (number("GRID_SIM_SEED", 0), number("GRID_SIM_SEEDS", 100));
    let mut ends = BTreeMap::<&str, usize>::new();
    for seed in first..first + count {
        match catch_unwind(AssertUnwindSafe(|| run(seed))) {
            Ok(ran) => {
                for end in ran.records.iter().filter_map(|record| record.ended.as_ref()) {
                    *ends.entry(outcome_name(&end.outcome)).or_default() += 1;
                }
            }
            Err(_) => panic!("seed {seed} fails"),
        }
    }
    println!("{ends:?}");
}

#[test]
fn the_same_seed_is_the_same_run_and_another_is_another() {
    let [first, second, other] = [7, 7, 8].map(run);
    assert_eq!(format!("{:?}", first.records), format!("{:?}", second.records));
    assert_eq!((first.digest, &first.troubles), (second.digest, &second.troubles));
    assert_ne!(first.digest, other.digest);
}

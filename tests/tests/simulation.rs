//! Whole nodes under faults of all kinds, from seeds: what must hold holds for each of them.
//!
//! `GRID_SIM_SEEDS` says how many seeds are run, `GRID_SIM_SEED` which one is the first: to run one again that has failed,
//! `GRID_SIM_SEED=17 GRID_SIM_SEEDS=1`.

#[path = "simulation/caller.rs"]
mod caller;
#[path = "simulation/faults.rs"]
mod faults;
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
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use world::run;

/// How the calls of many seeds ended.
#[derive(Default)]
struct Ends {
    counts: Mutex<BTreeMap<&'static str, usize>>,
}

impl Ends {
    /// # Panics
    /// Something does not hold for this seed.
    fn add(&self, seed: u64) {
        let Ok(ran) = catch_unwind(AssertUnwindSafe(|| run(seed))) else { panic!("seed {seed} fails") };
        let mut counts = self.counts.lock().unwrap();
        for end in ran.records.iter().filter_map(|record| record.ended.as_ref()) {
            *counts.entry(end.outcome.name()).or_default() += 1;
        }
    }
}

fn number(variable: &str, default: u64) -> u64 {
    let value = std::env::var(variable).ok();
    value.map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}

#[test]
fn each_call_ends_once_as_it_may_and_nothing_is_left_whatever_happens() {
    let (first, count) = (number("GRID_SIM_SEED", 0), number("GRID_SIM_SEEDS", SEEDS));
    let (ends, next) = (Ends::default(), AtomicU64::new(first));
    std::thread::scope(|scope| {
        for _ in 0..THREADS.min(count) {
            scope.spawn(|| {
                while let Some(seed) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|seed| *seed < first + count) {
                    ends.add(seed);
                }
            });
        }
    });
    let counts = ends.counts.lock().unwrap();
    println!("{counts:?}");
    if count >= SEEDS {
        for end in OUTCOMES {
            assert!(counts.get(end).is_some_and(|count| *count >= 10), "{end} is among the ends: {counts:?}");
        }
    }
}

/// Seeds that have failed once.
#[test]
fn seeds_that_found_something_find_it_no_more() {
    for seed in KEPT {
        run(*seed);
    }
}

#[test]
fn the_same_seed_is_the_same_run_and_another_is_another() {
    let [first, second, other] = [7, 7, 8].map(run);
    assert_eq!(format!("{:?}", first.records), format!("{:?}", second.records));
    assert_eq!((first.digest, &first.troubles), (second.digest, &second.troubles));
    assert_ne!(first.digest, other.digest);
}

/// 3448: what was said of a stream that had ended overtook its last items.
const KEPT: &[u64] = &[3448];
/// Half a minute of a debug build on two small cores.
const SEEDS: u64 = 200;
const THREADS: u64 = 2;
/// All ends that a call can have here, but for one that is seldom: its handler could not call back, and said so.
const OUTCOMES: [&str; 10] = [
    "answer",
    "error",
    "panicked",
    "overloaded",
    "draining",
    "disconnected",
    "deadline",
    "cancelled",
    "gave up",
    "lost",
];

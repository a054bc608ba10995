//! Mixed calls of all kinds, by the thousands, under virtual time: single requests and streams in each direction, with
//! slow readers, timeouts, callers that give up, handlers that fail or do not read, and links that are cut.
//!
//! Each seed is a run of its own that happens the same way each time. An oracle follows every call: it ends, with an
//! outcome that can be, its items come in order and none is missing before its end, and nothing is left.

#[path = "soak/caller.rs"]
mod caller;
#[path = "soak/handler.rs"]
mod handler;
#[path = "soak/oracle.rs"]
mod oracle;
#[path = "soak/plan.rs"]
mod plan;

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use grid::Manager;
use grid_tests::memory::{Network, settle, within};
use grid_tests::mesh::only;
use grid_tests::probe::Probe;
use tokio::time::sleep;

use crate::oracle::Oracle;
use crate::plan::Plan;

/// In two halves, for two cores.
const SEEDS: [Range<u64>; 2] = [0..500, 500..1000];
const CALLS: u32 = 24;

#[test]
fn every_call_ends_and_leaves_nothing_in_the_first_half_of_the_seeds() {
    soak(SEEDS[0].clone());
}

#[test]
fn every_call_ends_and_leaves_nothing_in_the_second_half_of_the_seeds() {
    soak(SEEDS[1].clone());
}

fn soak(seeds: Range<u64>) {
    let oracle = Arc::new(Oracle::default());
    for seed in seeds.clone() {
        fastrand::seed(seed);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        let ran = AssertUnwindSafe(|| runtime.expect("it starts").block_on(run(&oracle)));
        assert!(catch_unwind(ran).is_ok(), "seed {seed} fails");
    }
    println!("{} seeds of {CALLS} calls each: {oracle}", seeds.count());
    oracle.assert_all_seen();
}

async fn run(oracle: &Arc<Oracle>) {
    let (network, probe) = (Network::default(), Probe::default());
    let serve = |builder| handler::serve(&probe, builder);
    let (left, right) = network.pair(serve, serve).await;
    let calls: Vec<_> = (0..CALLS)
        .map(|number| {
            let connection = only(if number % 2 == 0 { &left } else { &right });
            tokio::spawn(caller::call(connection, Plan::draw(number), Arc::clone(oracle)))
        })
        .collect();
    for _ in 0..fastrand::usize(0..3) {
        sleep(Duration::from_millis(fastrand::u64(0..60))).await;
        network.cut();
    }
    for call in calls {
        within(call).await.expect("the oracle has nothing to say");
    }
    for node in [&left, &right] {
        within(only(node).ready()).await.expect("not shut down");
    }
    // What the remote still runs of calls that were given up it gives up as well, at once.
    settle().await;
    settle().await;
    assert_nothing_left([&left, &right]);
    let visits = probe.visits();
    assert_eq!(visits.started, visits.finished + visits.dropped);
}

fn assert_nothing_left(nodes: [&Manager; 2]) {
    for node in nodes {
        let stats = only(node).stats();
        let left = (stats.calls_out, stats.calls_in, stats.unread_bytes, stats.queued_bytes);
        assert_eq!(left, (0, 0, 0, 0), "{}: calls out and in, bytes unread and queued", node.name());
    }
}

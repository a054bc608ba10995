//! Calls between the nodes, so many a second.

use std::sync::Arc;
use std::time::Duration;

use grid_tests::load::Kind;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::mesh::Mesh;

/// Begins calls until it is told to stop, and waits for their ends.
pub(crate) async fn pace(mesh: &Mesh, stopped: watch::Receiver<bool>) {
    let (connections, mut calls) = (mesh.connections(), JoinSet::new());
    let mut ticks = interval(Duration::from_millis(TICK_MILLIS));
    // What a busy machine delays is not made up for.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !*stopped.borrow() {
        ticks.tick().await;
        while let Some(ended) = calls.try_join_next() {
            ended.expect("a call that ends badly is a fault, not a panic");
        }
        for _ in 0..(CALLS_PER_SECOND * TICK_MILLIS / 1000) {
            if calls.len() < IN_FLIGHT_MAX {
                let connection = connections[fastrand::usize(0..connections.len())].clone();
                let ledger = Arc::clone(&mesh.ledger);
                calls.spawn(async move { ledger.call(&connection, kind()).await });
            }
        }
    }
    while let Some(ended) = calls.join_next().await {
        ended.expect("a call that ends badly is a fault, not a panic");
    }
}

/// Mostly single calls.
fn kind() -> Kind {
    if fastrand::u8(0..3) > 0 { Kind::Small } else { Kind::any() }
}

const CALLS_PER_SECOND: u64 = 1000;
const TICK_MILLIS: u64 = 10;
/// Links that stall do not heap up calls without end.
const IN_FLIGHT_MAX: usize = 512;

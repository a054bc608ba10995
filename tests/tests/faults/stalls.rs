//! Links that stall, trickle or swallow, under load of all kinds.

use std::time::Duration;

use bytes::Bytes;
use grid::Connection;
use grid_tests::load::{End, Load, open_to_guests};
use grid_tests::mesh::{NOTICED, quick, sharp, soon};
use grid_tests::probe::ECHO;
use grid_tests::proxy::{Pace, Way};
use tokio::time::{Instant, sleep};

use crate::PROCESS;
use crate::stage::{SLACK, Stage, is_down, state, until};

/// The fault lasts until it is noticed.
async fn befallen(way: Way, pace: Pace) {
    let stage = Stage::start(sharp).await;
    let load = stage.load(8);
    soon(until(|| load.ledger().ended(End::Answered) > 100)).await;
    stage.proxy.set(way, pace);
    let [left, right] = stage.ends();
    let ((why, at), (far, far_at)) = tokio::join!(state(&left, is_down), state(&right, is_down));
    stage.proxy.set(way, Pace::Free);
    let freed = Instant::now();
    stage.ready().await;
    let back = freed.elapsed();
    let ledger = soon(load.stop()).await;
    assert!(ledger.ended(End::Disconnected) > 0, "the fault hit no call");
    stage.assert_recovered().await;
    println!(
        "{pace:?} {way:?}: noticed after {at:?} ({why:?}) and {far_at:?} ({far:?}), back after {back:?}; {ledger}"
    );
    let limit = NOTICED + SLACK;
    assert!(at < limit && far_at < limit, "noticed after {at:?} and {far_at:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_stalls_one_way_is_given_up_and_mended() {
    let _shared = PROCESS.read().await;
    tokio::join!(befallen(Way::In, Pace::Stalled), befallen(Way::Out, Pace::Stalled));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_swallows_one_way_is_given_up_and_mended() {
    let _shared = PROCESS.read().await;
    tokio::join!(befallen(Way::In, Pace::Swallowed), befallen(Way::Out, Pace::Swallowed));
}

/// The links of one node: one trickles both ways, and one of a guest does not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_trickles_hurts_nobody_else() {
    let _shared = PROCESS.read().await;
    let stage = Stage::start(|builder| open_to_guests(quick(builder))).await;
    let echoed = grid::connect(stage.left.name()).single(ECHO, async |_, payload: Bytes| Ok(payload));
    let guest = soon(echoed.into_future()).await.expect("it is let in");
    let (trickling, beside) = (stage.load(4), Load::start([guest.clone()], 4));
    soon(until(|| trickling.ledger().ended(End::Answered).min(beside.ledger().ended(End::Answered)) > 100)).await;
    let before = round_trips(&guest).await;
    stage.proxy.set_both(Pace::Trickling { bytes: 1, every: Duration::from_millis(1) });
    let start = Instant::now();
    let during = round_trips(&guest).await;
    let took = start.elapsed();
    stage.proxy.set_both(Pace::Free);
    let (trickled, beside) = (soon(trickling.stop()).await, soon(beside.stop()).await);
    stage.assert_recovered().await;
    println!("a byte a ms for {took:?}: {trickled}; beside it {beside}; medians and slowest {before:?} {during:?}");
    assert_eq!((beside.ended(End::Disconnected), beside.overdue()), (0, 0));
    assert!(during[0] < 20 * before[0] + SLACK / 100, "{before:?} before, {during:?} beside a trickling peer");
}

/// The median and the longest time of some calls.
async fn round_trips(connection: &Connection) -> [Duration; 2] {
    let mut times = Vec::new();
    for _ in 0..100 {
        let start = Instant::now();
        connection.single(ECHO, "x").await.expect("its link is well");
        times.push(start.elapsed());
        sleep(Duration::from_millis(5)).await;
    }
    times.sort_unstable();
    [times[times.len() / 2], times[times.len() - 1]]
}

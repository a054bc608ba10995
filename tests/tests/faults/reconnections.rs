//! A link that is cut as quickly as the nodes mend it, under load of all kinds.

use std::sync::Arc;
use std::time::Duration;

use grid_tests::allocator::Live;
use grid_tests::load::{End, Ledger};
use grid_tests::mesh::{quick, soon};
use grid_tests::process::{descriptors, resident_kib};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

use crate::stage::{Stage, until};
use crate::{ALLOCATOR, PROCESS};

const WARM: u64 = 50;
const RECONNECTIONS: u64 = 500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_resets_under_load_lose_no_call_and_leave_nothing() {
    let _alone = PROCESS.write().await;
    let stage = Stage::start(|builder| {
        quick(builder).timeouts(|timeouts| {
            timeouts.reconnect_min = Duration::from_millis(1);
            timeouts.reconnect_max = Duration::from_millis(3);
        })
    })
    .await;
    // Once through everything, so that what is allocated for good is there before it is measured.
    reset(&stage, WARM).await;
    let before = held(&stage, None).await;

    let start = Instant::now();
    let ledger = reset(&stage, RECONNECTIONS).await;
    let took = start.elapsed();
    let after = held(&stage, Some(before)).await;
    println!("{RECONNECTIONS} resets in {took:?}: {ledger}; before {before:?}, after {after:?}");
    assert!(ledger.ended(End::Answered).min(ledger.ended(End::Disconnected)) >= RECONNECTIONS, "{ledger}");
    assert_eq!(ledger.overdue(), 0, "the end of a link ends its calls at once");
    for end in stage.ends() {
        assert!(end.stats().reconnects >= WARM + RECONNECTIONS, "{:?}", end.stats());
    }
    assert!(after.is_as_before(before), "before {before:?}, after {after:?}");
    let (before, after) = (before.resident_kib, after.resident_kib);
    assert!(after < before + RESIDENT_SLACK_KIB, "{before} KiB resident before, {after} after");
}

async fn reset(stage: &Stage, times: u64) -> Arc<Ledger> {
    let load = stage.load(3);
    for _ in 0..times {
        stage.ready().await;
        let answered = load.ledger().ended(End::Answered);
        soon(until(|| load.ledger().ended(End::Answered) > answered)).await;
        let reconnects = stage.ends().map(|end| end.stats().reconnects);
        stage.proxy.cut();
        let ends = stage.ends();
        soon(until(|| (0..2).all(|end| ends[end].stats().reconnects > reconnects[end]))).await;
    }
    let ledger = soon(load.stop()).await;
    stage.assert_recovered().await;
    ledger
}

/// What the process holds.
#[derive(Debug, Clone, Copy)]
struct Held {
    live: Live,
    resident_kib: u64,
    descriptors: usize,
    tasks: usize,
}

impl Held {
    fn now() -> Self {
        Self {
            live: ALLOCATOR.live(),
            resident_kib: resident_kib().expect("Linux tells"),
            descriptors: descriptors().expect("Linux tells"),
            tasks: Handle::current().metrics().num_alive_tasks(),
        }
    }

    /// Blocks of the runtime come and go by a few.
    fn is_as_before(&self, before: Self) -> bool {
        self.live.bytes < before.live.bytes + LIVE_SLACK_BYTES
            && self.live.blocks < before.live.blocks + LIVE_SLACK_BLOCKS
            && self.descriptors <= before.descriptors
            && self.tasks <= before.tasks
    }
}

/// What is held when the ends of the last links are gone, or what is left after some time.
async fn held(stage: &Stage, before: Option<Held>) -> Held {
    stage.assert_recovered().await;
    let start = Instant::now();
    let mut last = (Held::now(), start);
    let is_settled = |(held, since): (Held, Instant)| match before {
        Some(before) => held.is_as_before(before),
        None => since.elapsed() > SETTLED,
    };
    while !is_settled(last) && start.elapsed() < PATIENCE {
        sleep(Duration::from_millis(10)).await;
        let now = Held::now();
        let is_same = (now.descriptors, now.tasks) == (last.0.descriptors, last.0.tasks);
        last = (now, if is_same { last.1 } else { Instant::now() });
    }
    last.0
}

/// Each of three threads may keep memory of large frames for the next ones, in one block. A leak shows in blocks.
const LIVE_SLACK_BYTES: usize = 6 << 20;
const LIVE_SLACK_BLOCKS: usize = 50;
const RESIDENT_SLACK_KIB: u64 = 8 << 10;
/// Nothing is on its way any more.
const SETTLED: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(20);

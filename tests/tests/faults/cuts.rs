//! Links that are reset or closed half, under load of all kinds.

use grid_tests::load::End;
use grid_tests::mesh::{quick, soon};
use grid_tests::proxy::WAYS;
use tokio::time::Instant;

use crate::PROCESS;
use crate::stage::{Stage, until};

const TIMES: u64 = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_end_once_when_their_links_are_reset_or_closed_half() {
    let _shared = PROCESS.read().await;
    let stage = Stage::start(quick).await;
    let load = stage.load(8);
    let start = Instant::now();
    for time in 0..TIMES {
        let answered = load.ledger().ended(End::Answered);
        soon(until(|| load.ledger().ended(End::Answered) > answered + 5)).await;
        let reconnects = stage.ends().map(|end| end.stats().reconnects);
        match time % 4 {
            0 | 1 => stage.proxy.cut(),
            half => stage.proxy.close_half(WAYS[if half == 2 { 0 } else { 1 }]),
        }
        let ends = stage.ends();
        soon(until(|| (0..2).all(|end| ends[end].stats().reconnects > reconnects[end]))).await;
    }
    let took = start.elapsed();
    let ledger = soon(load.stop()).await;
    assert!(ledger.ended(End::Disconnected) > 0, "the faults hit no call");
    assert_eq!(ledger.overdue(), 0, "the end of a link ends its calls at once");
    stage.assert_recovered().await;
    println!("cuts: {TIMES} links reset or closed half in {took:?}: {ledger}");
}

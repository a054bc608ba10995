//! Two processes under load, one of which is killed and started again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use grid::{CallError, Connection};
use grid_tests::mesh::{Place, only, soon};
use grid_tests::process::resident_kib;
use tokio::time::Instant;

use crate::PROCESS;
use crate::child::{ChildNode, free_name};
use crate::stage::{is_down, state};

const CALLS: u64 = 30_000;
const IN_FLIGHT: u64 = 256;

#[derive(Default)]
struct Outcomes {
    answered: AtomicU64,
    disconnected: AtomicU64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_has_one_outcome_when_its_process_is_killed() {
    let _alone = PROCESS.write().await;
    let own = Place::new();
    let name = free_name(|_| true);
    let node = own
        .builder()
        .peers([name.clone()])
        .single(1_u8, async |_, payload: Bytes| Ok(payload))
        .start()
        .await
        .expect("the node starts");
    let mut child = ChildNode::spawn(&name, &own.name, "quick");
    let connection = only(&node);
    connection.ready().await.expect("not shut down");

    // Once through everything, so that what is allocated for good is there before memory is measured.
    soon(run(&connection, 5_000, u64::MAX, &mut child)).await;
    let before = resident_kib();

    let (outcomes, [noticed, back]) = soon(run(&connection, CALLS, CALLS / 2, &mut child)).await;
    let (answered, disconnected) = (outcomes.answered.into_inner(), outcomes.disconnected.into_inner());
    assert_eq!(answered + disconnected, CALLS);
    assert!(disconnected > 0, "the kill hit no call");
    assert!(answered > CALLS - 10 * IN_FLIGHT, "only {answered} calls were answered");

    assert_eq!(connection.stats().calls_out, 0);
    assert_eq!(connection.stats().calls_in, 0);
    // In flight at the other end is the one call that asks.
    assert_eq!(connection.single(2_u8, []).await, Ok(Bytes::from("1 0")));
    let after = resident_kib();
    println!(
        "kill -9: noticed after {noticed:?}, another process connected after {back:?}; {answered} answered, \
         {disconnected} disconnected, {before:?} KiB before, {after:?} KiB after"
    );
    // Where the system does not tell, `huge.rs` and `leaks.rs` still count what is allocated.
    if let (Some(before), Some(after)) = (before, after) {
        assert!(after < before + 4096, "{before} KiB before, {after} KiB after");
    }
}

/// Makes calls, and kills the other process once `kill_at` of them have ended. Gives the times from the kill to the end
/// of the link, and from there to the link to another process.
async fn run(connection: &Connection, calls: u64, kill_at: u64, child: &mut ChildNode) -> (Outcomes, [Duration; 2]) {
    let outcomes = Arc::new(Outcomes::default());
    let next = Arc::new(AtomicU64::new(0));
    let half = Arc::new(tokio::sync::Notify::new());
    let callers: Vec<_> = (0..IN_FLIGHT)
        .map(|_| {
            let (outcomes, next, half) = (Arc::clone(&outcomes), Arc::clone(&next), Arc::clone(&half));
            let connection = connection.clone();
            tokio::spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= calls {
                        return;
                    }
                    if number == kill_at {
                        half.notify_one();
                    }
                    call(&connection, number, &outcomes).await;
                }
            })
        })
        .collect();
    let mut times = [Duration::ZERO; 2];
    if kill_at < calls {
        half.notified().await;
        let start = Instant::now();
        let (noticed, ()) = tokio::join!(state(connection, is_down), child.kill());
        *child = ChildNode::spawn(connection.remote(), connection.local(), "quick");
        connection.ready().await.expect("not shut down");
        times = [noticed.1, start.elapsed() - noticed.1];
    }
    for caller in callers {
        caller.await.expect("callers do not panic");
    }
    (Arc::into_inner(outcomes).expect("the callers have ended"), times)
}

/// One call, which ends once. Every eighth one makes the other node call back.
async fn call(connection: &Connection, number: u64, outcomes: &Outcomes) {
    let handler = if number.is_multiple_of(8) { 3_u8 } else { 1 };
    let payload = Bytes::from(format!("{number:0512}"));
    match connection.single(handler, &payload).await {
        Ok(answer) => {
            assert_eq!(answer, payload);
            outcomes.answered.fetch_add(1, Ordering::Relaxed);
        }
        Err(CallError::Disconnected(_)) => {
            outcomes.disconnected.fetch_add(1, Ordering::Relaxed);
            connection.ready().await.expect("not shut down");
        }
        Err(other) => panic!("call {number}: {other}"),
    }
}

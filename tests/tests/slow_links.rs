//! Links that carry little, but do carry. Under virtual time.

use std::time::Duration;

use bytes::Bytes;
use grid::{CallError, Manager, State};
use grid_tests::memory::{settle, within};
use grid_tests::mesh::only;
use grid_tests::probe::{ECHO, echo};
use grid_tests::slow::slow_mesh;
use tokio::time::{Instant, sleep};

const BYTES_PER_SECOND: usize = 10_000;

async fn mesh() -> (Manager, Manager) {
    slow_mesh(BYTES_PER_SECOND, echo).await
}

#[tokio::test(start_paused = true)]
async fn small_calls_live_on_a_slow_link() {
    let (left, _right) = mesh().await;
    for _ in 0..10 {
        assert_eq!(only(&left).single(ECHO, "x").await, Ok(Bytes::from("x")));
        sleep(Duration::from_secs(30)).await;
    }
    assert_eq!((only(&left).state(), only(&left).stats().reconnects), (State::Connected, 0));
}

/// Pings wait behind the message, and so do the answers to them; but bytes come in all the time.
#[tokio::test(start_paused = true)]
async fn a_peer_that_is_busy_sending_one_large_message_is_not_taken_for_dead() {
    let (left, _right) = mesh().await;
    let minute = BYTES_PER_SECOND * 60;
    let answer = only(&left).single(ECHO, vec![7; minute]).timeout(Duration::from_secs(600)).await;
    assert_eq!(answer.map(|answer| answer.len()), Ok(minute));
    assert_eq!(only(&left).stats().reconnects, 0);
}

#[tokio::test(start_paused = true)]
async fn a_drain_over_a_slow_link_ends_within_its_limits() {
    let (left, right) = mesh().await;
    let call = tokio::spawn(only(&right).single(ECHO, vec![7; BYTES_PER_SECOND * 600]).into_future());
    settle().await;
    let start = Instant::now();
    within(right.shutdown()).await;
    assert_eq!(start.elapsed(), Duration::from_secs(10 + 4), "for the call, and for what is queued");
    assert_eq!(within(call).await.expect("no panic"), Err(CallError::Cancelled));
    drop(left);
}

//! Openings and idle streams beside large requests, on links that carry little or nothing.

use std::time::Duration;

use grid::{Manager, ManagerBuilder};
use grid_tests::memory::{Network, settle, within};
use grid_tests::mesh::only;
use grid_tests::probe::{self, Probe, Visits, echo};
use grid_tests::slow::slow_mesh;
use grid_tests::streams::{assert_idle, item};
use tokio::time::{Instant, timeout};

use crate::halves::{ECHO, Halves, echo_items, opened};

const BYTES_PER_SECOND: usize = 100_000;
/// After which an answer to an opening does not come any more.
const SILENCE: Duration = Duration::from_secs(30);
const TEN_MINUTES: Duration = Duration::from_secs(600);

async fn slow() -> (Manager, Manager) {
    slow_mesh(BYTES_PER_SECOND, |builder| echo_items(echo(builder), 64)).await
}

/// A request that keeps the link busy for so many seconds, and its answer as many.
async fn keep_busy(node: &Manager, seconds: usize) {
    let bytes = seconds * BYTES_PER_SECOND;
    let answer = only(node).single(probe::ECHO, vec![7; bytes]).timeout(TEN_MINUTES).await;
    assert_eq!(answer.map(|answer| answer.len()), Ok(bytes));
}

async fn assert_echoes_to_its_end((outbound, mut inbound): Halves) {
    within(outbound.send(item(0))).await.expect("it has not ended");
    assert_eq!(within(inbound.next()).await, Some(Ok(item(0))));
    within(outbound.finish()).await.expect("it has not ended");
    assert_eq!(within(inbound.next()).await, None);
}

/// Whatever tells that its two ends live waits behind the request, and then behind the answer.
#[tokio::test(start_paused = true)]
async fn an_idle_stream_lives_beside_a_large_request_on_a_slow_link() {
    let (left, right) = slow().await;
    let idle = opened(only(&left).stream(ECHO, 64, "")).await;
    keep_busy(&left, 70).await;
    assert_echoes_to_its_end(idle).await;
    assert_eq!(only(&left).stats().reconnects, 0);
    assert_idle([&left, &right]).await;
}

/// The time in which its answer must come begins when it is sent: until then, the remote has nothing to answer.
#[tokio::test(start_paused = true)]
async fn an_opening_waits_for_room_for_longer_than_for_its_answer() {
    let (left, right) = slow().await;
    let start = Instant::now();
    let opening = async {
        settle().await;
        let halves = opened(only(&left).stream(ECHO, 64, "")).await;
        assert!(start.elapsed() > SILENCE, "it was sent at once: {:?}", start.elapsed());
        assert_echoes_to_its_end(halves).await;
    };
    tokio::join!(keep_busy(&left, 50), keep_busy(&left, 50), opening);
    assert_eq!(only(&left).stats().reconnects, 0);
    assert_idle([&left, &right]).await;
}

#[tokio::test(start_paused = true)]
async fn openings_that_are_given_up_before_they_are_sent_leave_nothing() {
    const WAIT: u8 = 21;
    let (network, probe) = (Network::default(), Probe::default());
    let visited = probe.clone();
    let serve = |builder| {
        echo(builder).stream(WAIT, 64, move |_, _, mut inbound, _| {
            let visit = visited.enter();
            async move {
                let _ = inbound.next().await;
                visit.finish();
                Ok(())
            }
        })
    };
    let small = |builder: ManagerBuilder| builder.limits(|limits| limits.outbox_bytes_max = 4 << 10);
    let (left, right) = network.pair(small, serve).await;
    network.freeze();
    // One fills the link, the others the room for large frames and that for small ones.
    let filling = [200 << 10, 200 << 10, 1 << 10];
    let filling = filling.map(|len| (len, tokio::spawn(only(&left).single(probe::ECHO, vec![7; len]).into_future())));
    settle().await;
    let before = only(&left).stats().queued_bytes;
    for _ in 0..1000 {
        let opening = only(&left).stream(WAIT, 64, "").into_future();
        assert!(timeout(Duration::from_millis(1), opening).await.is_err(), "there is no room");
    }
    assert_eq!(only(&left).stats().queued_bytes, before);

    network.thaw();
    for (len, call) in filling {
        assert_eq!(within(call).await.expect("no panic").map(|answer| answer.len()), Ok(len));
    }
    settle().await;
    assert_idle([&left, &right]).await;
    assert_eq!(probe.visits(), Visits::default());
}

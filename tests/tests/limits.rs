//! What happens at each limit: a typed end for the one who hits it, and nothing for the rest. Under virtual time.

use std::time::Duration;

use bytes::Bytes;
use grid::{CallError, Connection, LinkError, Manager, ManagerBuilder, RefusalReason, RemoteError, State};
use grid_tests::memory::{LINK_BYTES, Network, settle, within};
use grid_tests::mesh::only;
use grid_tests::probe::{ECHO, HANG, Probe, SLEEP, echo, sleep_for};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Answers with as many bytes as the payload says.
const BYTES: u8 = 20;
/// Fails with a text of as many bytes as the payload says.
const FAIL: u8 = 21;

const SECOND: Duration = Duration::from_secs(1);
/// What [`grid::Limits::message_bytes_max`] keeps for what stands around a payload.
const OVERHEAD: usize = 256;

type Outcome = Result<Bytes, CallError<RemoteError>>;

fn bytes_wanted(payload: &[u8]) -> usize {
    std::str::from_utf8(payload).expect("digits").parse().expect("a number")
}

fn serve(builder: ManagerBuilder) -> ManagerBuilder {
    let probe = Probe::default();
    probe
        .sleep(probe.hang(echo(builder)))
        .single(BYTES, |_, payload: Bytes| async move { Ok(Bytes::from(vec![7; bytes_wanted(&payload)])) })
        .single(FAIL, |_, payload: Bytes| async move {
            Err::<Bytes, _>(RemoteError::new("f".repeat(bytes_wanted(&payload))))
        })
}

struct Scene {
    network: Network,
    left: Manager,
    right: Manager,
}

impl Scene {
    async fn new(
        left: impl FnOnce(ManagerBuilder) -> ManagerBuilder,
        right: impl FnOnce(ManagerBuilder) -> ManagerBuilder,
    ) -> Self {
        let network = Network::default();
        let (left, right) = network.pair(left, |builder| right(serve(builder))).await;
        Self { network, left, right }
    }

    fn connection(&self) -> Connection {
        only(&self.left)
    }

    fn spawn(&self, handler: u8, payload: impl AsRef<[u8]>) -> JoinHandle<Outcome> {
        tokio::spawn(self.connection().single(handler, payload).into_future())
    }

    /// Both ends still have their first link, and nothing in their tables.
    async fn assert_unharmed(&self) {
        settle().await;
        assert_eq!(self.connection().single(ECHO, "x").await, Ok(Bytes::from("x")));
        settle().await;
        for connection in [only(&self.left), only(&self.right)] {
            let stats = connection.stats();
            assert_eq!((stats.calls_out, stats.calls_in, stats.reconnects), (0, 0, 0));
        }
    }
}

fn unlimited(builder: ManagerBuilder) -> ManagerBuilder {
    builder
}

fn messages_of(bytes_max: usize) -> impl Fn(ManagerBuilder) -> ManagerBuilder {
    move |builder| builder.limits(|limits| limits.message_bytes_max = bytes_max)
}

fn refused(outcome: Outcome) -> (RefusalReason, String) {
    match outcome {
        Err(CallError::Refused(refusal)) => (refusal.reason(), refusal.message().to_owned()),
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn calls_beyond_what_a_node_takes_are_refused_at_once_and_the_rest_is_unharmed() {
    let scene = Scene::new(unlimited, |right| right.limits(|limits| limits.calls_in_max = 2)).await;
    let running = [9, 9].map(|seconds| scene.spawn(SLEEP, sleep_for(seconds * SECOND)));
    settle().await;
    let start = Instant::now();
    for _ in 0..100 {
        let (reason, text) = refused(scene.connection().single(ECHO, "x").await);
        assert_eq!((reason, &*text), (RefusalReason::Overloaded, "too many calls are in flight"));
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
    for running in running {
        assert!(within(running).await.expect("no panic").is_ok());
    }
    scene.assert_unharmed().await;
}

#[tokio::test(start_paused = true)]
async fn requests_beyond_the_bytes_that_a_node_takes_at_once_are_refused_unless_they_come_alone() {
    const MAX: usize = 10_000;
    let scene = Scene::new(unlimited, |right| right.limits(|limits| limits.calls_in_bytes_max = MAX)).await;
    let sleeping = |bytes: usize| {
        let mut payload = sleep_for(9 * SECOND).to_vec();
        payload.resize(bytes, 7);
        payload
    };
    for _ in 0..3 {
        let alone = scene.connection().single(ECHO, vec![7; 10 * MAX]).await.map(|answer| answer.len());
        assert_eq!(alone, Ok(10 * MAX), "it would never get through otherwise");
        let running = [MAX / 2, MAX / 2].map(|bytes| scene.spawn(SLEEP, sleeping(bytes)));
        settle().await;
        let (reason, _) = refused(scene.connection().single(ECHO, "x").await);
        assert_eq!(reason, RefusalReason::Overloaded);
        for running in running {
            assert!(within(running).await.expect("no panic").is_ok());
        }
    }
    scene.assert_unharmed().await;
}

/// Cancellations are nothing that a peer provokes: those of one's own calls have no limit but that of the calls.
#[tokio::test(start_paused = true)]
async fn any_number_of_calls_may_be_dropped_while_the_link_is_held_up() {
    let scene = Scene::new(|left| left.limits(|limits| limits.control_bytes_max = 1 << 10), unlimited).await;
    scene.network.freeze();
    let held_up = scene.spawn(ECHO, vec![0; 2 * LINK_BYTES]);
    settle().await;
    for _ in 0..20 {
        let calls: Vec<_> = (0..500).map(|_| scene.spawn(HANG, "")).collect();
        settle().await;
        calls.iter().for_each(JoinHandle::abort);
        settle().await;
    }
    assert_eq!(scene.connection().stats().calls_out, 1);
    scene.network.thaw();
    assert!(within(held_up).await.expect("no panic").is_ok());
    scene.assert_unharmed().await;
}

#[tokio::test(start_paused = true)]
async fn a_place_is_free_again_after_an_answer_a_deadline_and_a_cancellation() {
    let scene = Scene::new(unlimited, |right| right.limits(|limits| limits.calls_in_max = 1)).await;
    let connection = scene.connection();
    for _ in 0..10 {
        assert!(connection.single(ECHO, "x").await.is_ok());
        let late = connection.single(HANG, "").timeout(SECOND).await;
        assert_eq!(late, Err(CallError::DeadlineExceeded));
        settle().await;
        let cancelled = scene.spawn(HANG, "");
        settle().await;
        cancelled.abort();
        settle().await;
    }
    scene.assert_unharmed().await;
}

#[tokio::test(start_paused = true)]
async fn calls_beyond_what_a_node_makes_are_refused_at_once_and_not_sent() {
    let scene = Scene::new(|left| left.limits(|limits| limits.calls_out_max = 2), unlimited).await;
    let running = [9, 9].map(|seconds| scene.spawn(SLEEP, sleep_for(seconds * SECOND)));
    settle().await;
    let before = scene.connection().stats();
    let (reason, text) = refused(scene.connection().single(ECHO, "x").await);
    assert_eq!(reason, RefusalReason::Overloaded);
    assert_eq!(text, "2 calls are in flight to http://dialled:1, which is the limit of this side");
    settle().await;
    let mut after = scene.connection().stats();
    assert_eq!(after.limit_hits.calls_out_max, 1);
    after.limit_hits = before.limit_hits;
    assert_eq!(after, before);
    for running in running {
        assert!(within(running).await.expect("no panic").is_ok());
    }
    scene.assert_unharmed().await;
}

#[tokio::test(start_paused = true)]
async fn a_request_is_as_large_as_a_message_may_be_or_is_not_sent() {
    const MAX: usize = 100_000;
    let scene = Scene::new(messages_of(MAX), messages_of(MAX)).await;
    let largest = vec![7; MAX - OVERHEAD];
    assert_eq!(scene.connection().single(ECHO, &largest).await.as_deref(), Ok(&*largest));
    let before = scene.connection().stats();
    let too_large = scene.connection().single(ECHO, vec![7; MAX - OVERHEAD + 1]).await.expect_err("it is too large");
    let (size, limit) = (MAX - OVERHEAD + 1, MAX - OVERHEAD);
    assert_eq!(too_large, CallError::TooLarge { what: "the request", size, limit });
    assert_eq!(too_large.to_string(), "the request of 99745 bytes is more than the limit of 99744");
    settle().await;
    let mut after = scene.connection().stats();
    assert_eq!(after.limit_hits.message_bytes_max, 1);
    after.limit_hits = before.limit_hits;
    assert_eq!(after, before);
    scene.assert_unharmed().await;
}

#[tokio::test(start_paused = true)]
async fn metadata_beyond_its_limit_is_not_sent() {
    let scene = Scene::new(|left| left.limits(|limits| limits.metadata_bytes_max = 100), unlimited).await;
    let call = |bytes: usize| scene.connection().single(ECHO, "x").metadata("name", "v".repeat(bytes));
    // Thirty-two bytes are counted for each pair, and four are the name.
    assert_eq!(call(64).await, Ok(Bytes::from("x")));
    let what = "the metadata";
    assert_eq!(call(65).await, Err(CallError::TooLarge { what, size: 101, limit: 100 }));
    let two = call(20).metadata("more", "v".repeat(9)).await;
    assert_eq!(two, Err(CallError::TooLarge { what, size: 101, limit: 100 }));
    scene.assert_unharmed().await;
}

#[tokio::test(start_paused = true)]
async fn metadata_that_the_other_side_does_not_take_is_refused() {
    let scene = Scene::new(unlimited, |right| right.limits(|limits| limits.metadata_bytes_max = 100)).await;
    let call = |bytes: usize| scene.connection().single(ECHO, "x").metadata("name", "v".repeat(bytes));
    assert_eq!(call(64).await, Ok(Bytes::from("x")));
    let (reason, text) = refused(call(65).await);
    assert_eq!((reason, &*text), (RefusalReason::BadRequest, "the metadata is more than the limit of 100"));
    scene.assert_unharmed().await;
}

/// A payload and metadata that are let through together fit into a message, whatever the metadata consists of.
#[tokio::test(start_paused = true)]
async fn a_large_request_with_many_small_pairs_of_metadata_keeps_to_the_limit_of_a_message() {
    const MAX: usize = 20_000;
    let scene = Scene::new(messages_of(MAX), messages_of(MAX)).await;
    for pairs in [1, 15, 16, 100, 200] {
        let call = |bytes| {
            let call = scene.connection().subroute("x").single(ECHO, vec![7; bytes]);
            (0..pairs).fold(call, |call, pair| call.metadata(pair.to_string(), ""))
        };
        let Err(CallError::TooLarge { what: "the request", size, limit }) = call(MAX - OVERHEAD).await else {
            panic!("the metadata needs room");
        };
        let (reason, _) = refused(call(MAX - OVERHEAD - (size - limit)).await);
        assert_eq!(reason, RefusalReason::UnknownHandler, "the largest one arrives, with {pairs} pairs");
    }
    scene.assert_unharmed().await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_beyond_what_a_message_may_be_is_refused_and_the_link_lives_on() {
    const MAX: usize = 20_000;
    let scene = Scene::new(messages_of(MAX), messages_of(MAX)).await;
    let call = |handler: u8, bytes: usize| scene.connection().single(handler, bytes.to_string());
    assert_eq!(call(BYTES, MAX - OVERHEAD).await.map(|answer| answer.len()), Ok(MAX - OVERHEAD));
    let largest = RemoteError::new("f".repeat(MAX - OVERHEAD));
    assert_eq!(call(FAIL, MAX - OVERHEAD).await, Err(CallError::Remote(largest)));
    for bytes in [MAX - OVERHEAD + 1, MAX, 10 * MAX] {
        for handler in [BYTES, FAIL] {
            let (reason, text) = refused(call(handler, bytes).await);
            assert_eq!(reason, RefusalReason::BadAnswer);
            assert_eq!(text, format!("the answer of {bytes} bytes is more than a message may be, {MAX}"));
        }
    }
    scene.assert_unharmed().await;
}

/// Frames that are merged into one message make no message that is larger than a message may be.
#[tokio::test(start_paused = true)]
async fn a_burst_of_calls_makes_no_message_beyond_what_a_message_may_be() {
    const MAX: usize = 4_096;
    let scene = Scene::new(messages_of(MAX), messages_of(MAX)).await;
    let calls: Vec<_> = (0..50).map(|_| scene.spawn(ECHO, vec![7; 500])).collect();
    for call in calls {
        assert_eq!(within(call).await.expect("no panic").map(|answer| answer.len()), Ok(500));
    }
    scene.assert_unharmed().await;
}

/// Calls of 1,000 bytes, of which a few fit into the outbox, behind one that holds the link up.
async fn clogged() -> (Scene, Vec<JoinHandle<Outcome>>) {
    let scene = Scene::new(|left| left.limits(|limits| limits.outbox_bytes_max = 10_000), unlimited).await;
    scene.network.freeze();
    let mut calls = vec![scene.spawn(ECHO, vec![0; 2 * LINK_BYTES])];
    settle().await;
    calls.extend((1..30).map(|number| scene.spawn(ECHO, vec![number; 1_000])));
    settle().await;
    assert!(scene.connection().stats().limit_hits.outbox_bytes_max > 0, "some wait for room");
    (scene, calls)
}

#[tokio::test(start_paused = true)]
async fn callers_wait_for_room_in_the_outbox_and_all_get_it() {
    let (scene, calls) = clogged().await;
    assert_eq!(scene.connection().stats().calls_out, 30);
    scene.network.thaw();
    for call in calls {
        assert!(within(call).await.expect("no panic").is_ok());
    }
    scene.assert_unharmed().await;
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_stops_waiting_for_room_holds_nobody_up() {
    let (scene, mut calls) = clogged().await;
    let given_up: Vec<_> = calls.drain(12..20).inspect(|call| call.abort()).collect();
    settle().await;
    assert_eq!(scene.connection().stats().calls_out, 22);
    scene.network.thaw();
    for call in calls {
        assert!(within(call).await.expect("no panic").is_ok());
    }
    assert!(within(futures_util::future::join_all(given_up)).await.iter().all(Result::is_err));
    scene.assert_unharmed().await;
}

#[tokio::test(start_paused = true)]
async fn answers_wait_for_room_in_the_outbox_too() {
    let scene = Scene::new(unlimited, |right| right.limits(|limits| limits.outbox_bytes_max = 10_000)).await;
    let calls: Vec<_> = (0..30).map(|_| scene.spawn(BYTES, "100000")).collect();
    for call in calls {
        assert_eq!(within(call).await.expect("no panic").map(|answer| answer.len()), Ok(100_000));
    }
    assert!(only(&scene.right).stats().limit_hits.outbox_bytes_max > 0, "some have waited");
    scene.assert_unharmed().await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_provokes_replies_without_reading_them_is_disconnected() {
    let scene = Scene::new(unlimited, |right| right.limits(|limits| limits.control_bytes_max = 1 << 10)).await;
    let unread = scene.spawn(BYTES, "1000000");
    scene.network.hold_dialling();
    settle().await;
    let calls: Vec<_> = (0..200).map(|_| scene.spawn(99, "")).collect();
    let far = only(&scene.right);
    let mut changes = far.changes();
    let why = within(futures_util::StreamExt::next(&mut changes)).await;
    assert_eq!(why, Some(State::Connected));
    let why = within(futures_util::StreamExt::next(&mut changes)).await;
    let provoked = LinkError::LimitExceeded { limit: "control_bytes_max", max: 1 << 10 };
    assert_eq!(why, Some(State::Disconnected(Some(provoked))));
    assert_eq!(far.stats().limit_hits.control_bytes_max, 1);
    for call in calls.into_iter().chain([unread]) {
        let lost = Err(CallError::Disconnected(scene.right.name().into()));
        assert_eq!(within(call).await.expect("no panic"), lost);
    }
}

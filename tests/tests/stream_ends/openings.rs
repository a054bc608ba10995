//! Streams that end before they are open, or at once.

use std::future::pending;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::poll;
use grid::{CallError, Inbound, Manager, ManagerBuilder, Outbound, RefusalReason, RemoteError, SendError};
use grid_tests::memory::{Network, settle, within};
use grid_tests::mesh::{only, quick};
use grid_tests::probe::{Probe, Visits};
use grid_tests::streams::{Read, assert_idle, item, items, read_all};
use tokio::time::Instant;

/// Does nothing.
const HANG: u8 = 22;
/// Ends at once.
const EMPTY: u8 = 23;

struct Scene {
    network: Network,
    left: Manager,
    right: Manager,
    probe: Probe,
}

type Opened = Result<(Outbound<Bytes>, Inbound<Bytes, RemoteError>), CallError<RemoteError>>;

impl Scene {
    async fn new(change: impl Fn(ManagerBuilder) -> ManagerBuilder) -> Self {
        let (network, probe) = (Network::default(), Probe::default());
        let hanging = probe.clone();
        let serve = |builder| {
            let builder = change(quick(builder)).stream(EMPTY, 4, |_, _, _, _| async { Ok(()) });
            builder.stream(HANG, 4, move |_, _, inbound, outbound| {
                let visit = hanging.enter();
                async move {
                    let _kept = (visit, inbound, outbound);
                    pending().await
                }
            })
        };
        let (left, right) = network.pair(&change, serve).await;
        Self { network, left, right, probe }
    }

    async fn open(&self, id: u8) -> Opened {
        within(only(&self.left).stream(id, 4, "").into_future()).await
    }

    async fn assert_nothing_left(&self, started: usize) {
        settle().await;
        assert_eq!(self.probe.visits(), Visits { started, finished: 0, dropped: started });
        assert_idle([&self.left, &self.right]).await;
    }
}

fn error(opened: Opened) -> CallError<RemoteError> {
    opened.map(|_| "opened").expect_err("it does not open")
}

fn assert_refused(opened: Opened, reason: RefusalReason) {
    match error(opened) {
        CallError::Refused(refusal) => assert_eq!(refusal.reason(), reason, "{refusal}"),
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_ends_at_once_opens_and_ends() {
    let scene = Scene::new(|builder| builder).await;
    for _ in 0..100 {
        let (outbound, mut inbound) = scene.open(EMPTY).await.expect("it opens");
        assert_eq!(within(read_all(&mut inbound)).await, Read::of(0, None));
        assert_eq!(outbound.send(item(0)).await, Err(SendError::Ended));
        assert_eq!(outbound.finish().await, Err(SendError::Ended));
    }
    scene.assert_nothing_left(0).await;
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_passes_before_the_stream_is_open_ends_it_on_both_sides() {
    let scene = Scene::new(|builder| builder).await;
    scene.network.hold_dialling();
    let start = Instant::now();
    let timeout = Duration::from_millis(500);
    let opened = within(only(&scene.left).stream(HANG, 4, "").timeout(timeout).into_future()).await;
    assert_eq!((error(opened), start.elapsed()), (CallError::DeadlineExceeded, timeout));
    scene.assert_nothing_left(1).await;
    scene.network.thaw();
    scene.assert_nothing_left(1).await;
    drop(scene.open(EMPTY).await.expect("the link is as it was"));
}

#[tokio::test(start_paused = true)]
async fn a_link_that_is_lost_before_the_stream_is_open_ends_it_on_both_sides() {
    let scene = Scene::new(|builder| builder).await;
    scene.network.hold_dialling();
    let mut call = pin!(only(&scene.left).stream(HANG, 4, "").into_future());
    assert!(poll!(call.as_mut()).is_pending());
    settle().await;
    assert_eq!(scene.probe.visits().started, 1);
    scene.network.set_down(true);
    scene.network.cut();
    let lost = CallError::Disconnected(scene.right.name().into());
    assert_eq!(error(within(call).await), lost);
    assert_eq!(error(scene.open(HANG).await), lost, "and none opens without a link");
    scene.assert_nothing_left(1).await;
}

#[tokio::test(start_paused = true)]
async fn an_opening_that_is_given_up_is_given_up_on_both_sides() {
    let scene = Scene::new(|builder| builder).await;
    scene.network.hold_dialling();
    {
        let mut call = pin!(only(&scene.left).stream(HANG, 4, "").into_future());
        assert!(poll!(call.as_mut()).is_pending());
        settle().await;
        assert_eq!(scene.probe.visits(), Visits { started: 1, finished: 0, dropped: 0 });
    }
    scene.assert_nothing_left(1).await;
}

/// Both halves are dropped without having been looked at.
#[tokio::test(start_paused = true)]
async fn halves_that_are_dropped_at_once_cancel_the_call_once() {
    let scene = Scene::new(|builder| builder).await;
    for started in 1..=3 {
        let (outbound, inbound) = scene.open(HANG).await.expect("it opens");
        match started {
            1 => drop((outbound, inbound)),
            2 => drop((inbound, outbound)),
            _ => drop(tokio::spawn(async move { drop((outbound, inbound)) })),
        }
        scene.assert_nothing_left(started).await;
    }
}

#[tokio::test(start_paused = true)]
async fn streams_beyond_the_limits_of_either_side_are_refused() {
    for (calls_in_max, calls_out_max) in [(3, 100), (100, 3)] {
        let limits = |builder: ManagerBuilder| {
            builder.limits(|limits| {
                limits.calls_in_max = calls_in_max;
                limits.calls_out_max = calls_out_max;
            })
        };
        let scene = Scene::new(limits).await;
        let open = join_all((0..3).map(|_| scene.open(HANG))).await;
        assert!(open.iter().all(Result::is_ok));
        for _ in 0..10 {
            assert_refused(scene.open(HANG).await, RefusalReason::Overloaded);
        }
        drop(open);
        scene.assert_nothing_left(3).await;
        drop(scene.open(EMPTY).await.expect("there is a place again"));
    }
}

#[tokio::test(start_paused = true)]
async fn no_stream_opens_to_or_from_a_node_that_leaves_and_those_that_run_go_on() {
    let scene = Scene::new(|builder| builder).await;
    let (there, back) = (only(&scene.left), only(&scene.right));
    let (outbound, mut inbound) = scene.open(HANG).await.expect("it opens");
    let leaving = scene.right.clone();
    let shutdown = tokio::spawn(async move { leaving.shutdown().await });
    settle().await;
    assert_refused(within(there.stream(HANG, 4, "").into_future()).await, RefusalReason::Draining);
    assert_eq!(error(within(back.stream(HANG, 4, "").into_future()).await), CallError::Cancelled);
    for item in items(0..4) {
        assert_eq!(within(outbound.send(item)).await, Ok(()), "a stream that runs has until the drain ends");
    }
    drop(outbound);
    assert_eq!(within(read_all(&mut inbound)).await, Read::of(0, CallError::Cancelled));
    let start = Instant::now();
    within(shutdown).await.expect("no panic");
    assert!(start.elapsed() < Duration::from_secs(1), "nothing is left to wait for");
    assert_eq!(scene.probe.visits(), Visits { started: 1, finished: 0, dropped: 1 });
}

#[tokio::test(start_paused = true)]
async fn an_opening_that_is_too_large_is_not_sent() {
    let scene = Scene::new(|builder: ManagerBuilder| builder.limits(|limits| limits.message_bytes_max = 4 << 10)).await;
    let call = only(&scene.left).stream(HANG, 4, vec![7; 4 << 10]);
    assert!(matches!(error(within(call.into_future()).await), CallError::TooLarge { .. }));
    scene.assert_nothing_left(0).await;
}

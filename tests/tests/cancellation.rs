//! Callers that give up, and what becomes of the handlers. Under virtual time.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{self, Wake, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::{FutureExt, poll};
use grid::{CallError, CallFuture, Connection, Context, Manager, ManagerBuilder, RemoteError};
use grid_tests::log::Log;
use grid_tests::memory::{LINK_BYTES, Network, settle, within};
use grid_tests::mesh::only;
use grid_tests::probe::{ECHO, HANG, Probe, SLEEP, echo, sleep_for};
use tokio::task::JoinHandle;

/// Calls [`HANG`] of its caller.
const NESTED_HANG: u8 = 20;

type Outcome = Result<Bytes, CallError<RemoteError>>;

struct Scene {
    network: Network,
    left: Manager,
    right: Manager,
    /// Counts visits to the right node.
    probe: Probe,
    /// Counts visits to the left node.
    near: Probe,
}

impl Scene {
    async fn new() -> Self {
        let (network, probe, near) = (Network::default(), Probe::default(), Probe::default());
        let nested = |builder: ManagerBuilder| {
            builder.single(NESTED_HANG, |cx: Context, _| async move {
                Ok::<_, RemoteError>(cx.connection().single(HANG, "").await?)
            })
        };
        let right = |right| nested(probe.sleep(probe.hang(echo(right))));
        let (left, right) = network.pair(|left| near.hang(left), right).await;
        Self { network, left, right, probe, near }
    }

    fn connection(&self) -> Connection {
        only(&self.left)
    }

    async fn started(&self, handler: u8, payload: impl AsRef<[u8]>) -> JoinHandle<Outcome> {
        let call = tokio::spawn(self.connection().single(handler, payload).into_future());
        settle().await;
        call
    }

    fn in_flight(&self) -> [(usize, usize); 2] {
        [&self.left, &self.right].map(|node| {
            let stats = only(node).stats();
            (stats.calls_out, stats.calls_in)
        })
    }
}

#[tokio::test(start_paused = true)]
async fn dropping_a_call_drops_its_handler() {
    let scene = Scene::new().await;
    let call = scene.started(HANG, "").await;
    assert_eq!((scene.probe.visits().started, scene.in_flight()), (1, [(1, 0), (0, 1)]));
    call.abort();
    scene.probe.until(|visits| visits.dropped == 1).await;
    settle().await;
    assert_eq!(scene.in_flight(), [(0, 0), (0, 0)]);
}

#[tokio::test(start_paused = true)]
async fn dropping_a_call_drops_no_other_handler() {
    let scene = Scene::new().await;
    let slow: Vec<_> = join_all((0..3).map(|_| scene.started(SLEEP, sleep_for(Duration::from_secs(9))))).await;
    let dropped = scene.started(HANG, "").await;
    dropped.abort();
    scene.probe.until(|visits| visits.dropped == 1).await;
    for call in slow {
        assert!(within(call).await.expect("no panic").is_ok());
    }
    assert_eq!(scene.probe.visits().finished, 3);
}

#[tokio::test(start_paused = true)]
async fn dropping_a_call_drops_the_whole_chain_of_handlers() {
    let scene = Scene::new().await;
    let call = scene.started(NESTED_HANG, "").await;
    settle().await;
    assert_eq!(scene.in_flight(), [(1, 1), (1, 1)]);
    call.abort();
    scene.near.until(|visits| visits.dropped == 1).await;
    settle().await;
    assert_eq!(scene.in_flight(), [(0, 0), (0, 0)]);
}

#[tokio::test(start_paused = true)]
async fn losing_the_link_drops_the_whole_chain_of_handlers_and_the_calls_they_make() {
    let scene = Scene::new().await;
    let call = scene.started(NESTED_HANG, "").await;
    settle().await;
    scene.network.cut();
    assert_eq!(within(call).await.expect("no panic"), Err(CallError::Disconnected(scene.right.name().into())));
    scene.near.until(|visits| visits.dropped == 1).await;
    settle().await;
    assert_eq!(scene.in_flight(), [(0, 0), (0, 0)]);
}

/// The answer and the cancellation cross.
#[tokio::test(start_paused = true)]
async fn a_cancellation_that_comes_after_the_answer_harms_nothing() {
    let scene = Scene::new().await;
    let call = scene.started(SLEEP, sleep_for(Duration::from_secs(1))).await;
    scene.network.freeze();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(scene.probe.visits().finished, 1);
    call.abort();
    let next = scene.started(HANG, "").await;
    scene.network.thaw();
    settle().await;
    assert_eq!(scene.probe.visits().dropped, 0, "the next call is another one");
    assert_eq!(scene.in_flight(), [(1, 0), (0, 1)]);
    next.abort();
    scene.probe.until(|visits| visits.dropped == 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_cancellation_gets_through_behind_a_full_outbox() {
    let scene = Scene::new().await;
    let call = scene.started(HANG, "").await;
    scene.network.freeze();
    let mut clogs = Vec::new();
    for _ in 0..200 {
        clogs.push(scene.started(ECHO, vec![0; LINK_BYTES]).await);
    }
    call.abort();
    settle().await;
    scene.network.thaw();
    scene.probe.until(|visits| visits.dropped == 1).await;
    for clog in clogs {
        assert!(within(clog).await.expect("no panic").is_ok());
    }
}

/// A call that is dropped before its request was written goes out with its cancellation right behind.
#[tokio::test(start_paused = true)]
async fn a_request_and_its_cancellation_in_one_message_run_nothing() {
    let scene = Scene::new().await;
    // With their cancellations they fit a merge.
    for _ in 0..25 {
        let polled = scene.connection().single(HANG, "").into_future().now_or_never();
        assert_eq!(polled, None, "its request is queued, and it is dropped");
    }
    settle().await;
    assert_eq!((scene.probe.visits().started, scene.in_flight()), (0, [(0, 0), (0, 0)]));
    assert_eq!(scene.connection().single(ECHO, "x").await, Ok(Bytes::from("x")));
}

/// What the remote never heard of need not be cancelled there.
#[tokio::test(start_paused = true)]
async fn only_a_call_that_was_sent_is_cancelled_on_the_remote() {
    let (log, _listening) = Log::listen();
    let cancellations = || {
        let frames = log.all().into_iter().filter(|entry| entry.target == "grid::frame");
        frames.filter(|frame| frame.field("op") == "DisconnectServerMux").count()
    };
    let network = Network::default();
    let small = |left: ManagerBuilder| left.limits(|limits| limits.outbox_bytes_max = 1 << 10);
    let (left, _right) = network.pair(small, |right| Probe::default().hang(echo(right))).await;
    let start = |payload: Vec<u8>| {
        tokio::spawn(only(&left).single(HANG, payload).timeout(Duration::from_secs(3)).into_future())
    };
    network.freeze();
    let sent = [vec![0; 2 * LINK_BYTES], vec![0; 2_000]].map(start);
    settle().await;
    let waiting = [vec![], vec![]].map(start);
    settle().await;
    waiting.iter().for_each(JoinHandle::abort);
    settle().await;
    network.thaw();
    settle().await;
    assert_eq!((only(&left).stats().calls_out, cancellations()), (2, 0));
    for call in sent {
        assert_eq!(within(call).await.expect("no panic"), Err(CallError::DeadlineExceeded));
    }
    settle().await;
    assert_eq!(cancellations(), 2);
}

/// A task that holds a call, as those of simple executors hold their futures.
struct Holding(#[expect(dead_code, reason = "it is dropped, and that is all")] Mutex<Pin<Box<Hanging>>>);

type Hanging = CallFuture<Bytes, RemoteError>;

impl Wake for Holding {
    fn wake(self: Arc<Self>) {}
}

/// When a call moves to another task, the waker of the first one is dropped: perhaps the last that held that task.
#[test]
fn a_waker_that_is_dropped_may_drop_a_call() {
    let (done, is_done) = std::sync::mpsc::channel();
    let dropping = async {
        let scene = Scene::new().await;
        // Without a timer, which would hold the waker as well.
        let mut call = Box::pin(scene.connection().single(HANG, "").timeout(Duration::MAX).into_future());
        let mut held = Box::pin(scene.connection().single(HANG, "").into_future());
        assert!(poll!(held.as_mut()).is_pending());
        let holding = Arc::new(Holding(Mutex::new(held)));
        let waker = Waker::from(holding);
        assert!(call.as_mut().poll(&mut task::Context::from_waker(&waker)).is_pending());
        drop(waker);
        assert!(call.as_mut().poll(&mut task::Context::from_waker(Waker::noop())).is_pending());
        assert_eq!(scene.connection().stats().calls_out, 1);
    };
    // In a thread of its own, as it may never come back.
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.expect("it starts").block_on(dropping);
        done.send(()).expect("the test waits");
    });
    is_done.recv_timeout(Duration::from_secs(10)).expect("it is neither stuck nor panics");
}

#[tokio::test(start_paused = true)]
async fn a_handler_whose_call_was_dropped_can_still_clean_up() {
    let (cleaned, has_cleaned) = tokio::sync::oneshot::channel();
    let cleaned = Mutex::new(Some(cleaned));
    let network = Network::default();
    let serve = move |right: ManagerBuilder| {
        right.single(HANG, move |cx: Context, _| {
            let cleaned = cleaned.lock().unwrap().take().expect("it is called once");
            let connection = cx.connection();
            async move {
                let _guard = CleanUp(Some((cleaned, connection)));
                std::future::pending::<Result<Bytes, RemoteError>>().await
            }
        })
    };
    let (left, _right) = network.pair(echo, serve).await;
    let call = tokio::spawn(only(&left).single(HANG, "").into_future());
    settle().await;
    call.abort();
    assert_eq!(within(has_cleaned).await, Ok(Ok(Bytes::from("clean"))));
}

/// Makes a call when it is dropped, from a task of its own, and tells the outcome.
struct CleanUp(Option<(tokio::sync::oneshot::Sender<Outcome>, Connection)>);

impl Drop for CleanUp {
    fn drop(&mut self) {
        let (cleaned, connection) = self.0.take().expect("dropped once");
        tokio::spawn(async move {
            let outcome = connection.single(ECHO, "clean").await;
            cleaned.send(outcome).expect("the test waits");
        });
    }
}

//! A call that loses its link, or its caller, at each point of its way. Under virtual time.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_util::poll;
use grid::{CallError, CallFuture, Connection, Manager, RemoteError};
use grid_tests::memory::{LINK_BYTES, Network, settle, within};
use grid_tests::mesh::only;
use grid_tests::probe::{ECHO, HANG, Probe, SLEEP, Visits, echo, sleep_for};
use tokio::task::JoinHandle;
use tokio::time::Instant;

type Outcome = Result<Bytes, CallError<RemoteError>>;
type Boxed = Pin<Box<CallFuture<Bytes, RemoteError>>>;

/// How far a call has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Point {
    /// It was made, and never polled.
    BeforeInsert,
    /// It has a slot in the table and waits for room in the outbox.
    WaitingForRoom,
    /// Its request is queued, and the writer is stalled.
    Queued,
    /// Its request is on the way.
    Sent,
    /// Its handler runs.
    Running,
    /// Its answer is there, and nobody has looked.
    Answered,
}

const POINTS: [Point; 6] =
    [Point::BeforeInsert, Point::WaitingForRoom, Point::Queued, Point::Sent, Point::Running, Point::Answered];

struct Scene {
    network: Network,
    left: Manager,
    right: Manager,
    probe: Probe,
    /// Calls of others that are in the way.
    clogs: Vec<JoinHandle<Outcome>>,
}

impl Scene {
    async fn new() -> Self {
        let (network, probe) = (Network::default(), Probe::default());
        let small = |left: grid::ManagerBuilder| left.limits(|limits| limits.outbox_bytes_max = 1 << 10);
        let (left, right) = network.pair(small, |right| probe.sleep(probe.hang(echo(right)))).await;
        Self { network, left, right, probe, clogs: Vec::new() }
    }

    fn connection(&self) -> Connection {
        only(&self.left)
    }

    /// Something large that is on its way for as long as the network is frozen.
    async fn clog(&mut self, bytes: usize) {
        let call = self.connection().single(ECHO, vec![0; bytes]);
        self.clogs.push(tokio::spawn(call.into_future()));
        settle().await;
    }

    /// A call that has come to this point.
    async fn call_at(&mut self, point: Point) -> Boxed {
        if matches!(point, Point::WaitingForRoom | Point::Queued | Point::Sent) {
            self.network.freeze();
        }
        if matches!(point, Point::WaitingForRoom | Point::Queued) {
            self.clog(2 * LINK_BYTES).await;
        }
        if point == Point::WaitingForRoom {
            self.clog(2 << 10).await;
        }
        let call = match point {
            Point::Answered => self.connection().single(SLEEP, sleep_for(Duration::from_millis(1))),
            _ => self.connection().single(HANG, "x"),
        };
        let mut call = Box::pin(call.into_future());
        if point != Point::BeforeInsert {
            assert!(poll!(call.as_mut()).is_pending());
            assert_eq!(self.connection().stats().calls_out, self.clogs.len() + 1);
        }
        settle().await;
        settle().await;
        let started = usize::from(matches!(point, Point::Running | Point::Answered));
        assert_eq!(self.probe.visits().started, started, "{point:?}");
        call
    }

    /// The tables of both ends are empty, and the connection works.
    async fn assert_clean(&self) {
        settle().await;
        within(self.connection().ready()).await.expect("not shut down");
        within(only(&self.right).ready()).await.expect("not shut down");
        settle().await;
        for connection in [only(&self.left), only(&self.right)] {
            let stats = connection.stats();
            assert_eq!((stats.calls_out, stats.calls_in), (0, 0), "{}", connection.local());
        }
        let Visits { started, finished, dropped } = self.probe.visits();
        assert_eq!(started, finished + dropped);
        assert_eq!(self.connection().single(ECHO, "x").await, Ok(Bytes::from("x")));
    }
}

#[tokio::test(start_paused = true)]
async fn a_link_lost_at_any_point_of_a_call_ends_it_once_and_leaves_nothing() {
    for point in POINTS {
        let mut scene = Scene::new().await;
        let call = scene.call_at(point).await;
        scene.network.cut();
        scene.network.thaw();
        if point == Point::BeforeInsert {
            settle().await;
        }
        let lost = Err(CallError::Disconnected(scene.right.name().into()));
        let outcome = within(call).await;
        match point {
            Point::Answered => assert!(outcome.is_ok(), "{point:?}: the answer was there first"),
            _ => assert_eq!(outcome, lost, "{point:?}"),
        }
        for clog in scene.clogs.drain(..) {
            assert_eq!(within(clog).await.expect("no panic"), lost, "{point:?}");
        }
        scene.assert_clean().await;
        let reached = matches!(point, Point::Running | Point::Answered);
        assert_eq!(scene.probe.visits().started, usize::from(reached), "{point:?}: nothing is sent again");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_at_any_point_leaves_nothing_and_harms_no_other() {
    for point in POINTS {
        let mut scene = Scene::new().await;
        let call = scene.call_at(point).await;
        drop(call);
        assert_eq!(scene.connection().stats().calls_out, scene.clogs.len(), "{point:?}: gone at once");
        scene.network.thaw();
        for clog in scene.clogs.drain(..) {
            assert!(within(clog).await.expect("no panic").is_ok(), "{point:?}");
        }
        scene.assert_clean().await;
        let reached = matches!(point, Point::Running | Point::Answered);
        assert_eq!(scene.probe.visits().started, usize::from(reached), "{point:?}: a dropped request is not run");
        assert_eq!(scene.connection().stats().reconnects, 0, "{point:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_after_the_loss_of_its_link_leaves_nothing() {
    for point in POINTS {
        let mut scene = Scene::new().await;
        let call = scene.call_at(point).await;
        scene.network.cut();
        scene.network.thaw();
        settle().await;
        drop(call);
        for clog in scene.clogs.drain(..) {
            assert!(within(clog).await.expect("no panic").is_err(), "{point:?}");
        }
        scene.assert_clean().await;
    }
}

/// The waker of the last poll is the one that is woken.
#[tokio::test(start_paused = true)]
async fn a_call_that_moves_to_another_task_is_woken_there() {
    let mut scene = Scene::new().await;
    for point in [Point::WaitingForRoom, Point::Queued, Point::Sent] {
        let mut call = Box::pin(scene.connection().single(ECHO, "x").into_future());
        scene.network.freeze();
        if point != Point::Sent {
            scene.clog(2 * LINK_BYTES).await;
            scene.clog(2 << 10).await;
        }
        assert_eq!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Pending, "{point:?}");
        let call = tokio::spawn(call);
        settle().await;
        scene.network.thaw();
        let thawed = Instant::now();
        assert_eq!(within(call).await.expect("no panic"), Ok(Bytes::from("x")), "{point:?}");
        assert_eq!(thawed.elapsed(), Duration::ZERO, "{point:?}: woken by its answer, not by its deadline");
        scene.clogs.clear();
        settle().await;
    }
    scene.assert_clean().await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "a call was polled after its end")]
async fn polling_a_call_after_its_end_is_a_panic_that_says_so() {
    let scene = Scene::new().await;
    let mut call = Box::pin(scene.connection().single(ECHO, "x").into_future());
    assert_eq!(call.as_mut().await, Ok(Bytes::from("x")));
    let _ = poll!(call.as_mut());
}

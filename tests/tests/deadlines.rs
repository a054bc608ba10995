//! How long calls may take, here and there. Under virtual time.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use grid::{BoxIo, Call, CallError, Connector, Context, Manager, ManagerBuilder, RemoteError};
use grid_tests::memory::{LINK_BYTES, Network, settle, within};
use grid_tests::mesh::only;
use grid_tests::probe::{ECHO, HANG, Probe, SLEEP, echo, sleep_for};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep};

#[grid::service(id = 3)]
trait Slow {
    #[rpc(timeout = "2s")]
    async fn two_seconds(&self);

    async fn no_timeout(&self);
}

impl Slow for Probe {
    async fn two_seconds(&self) {
        let _visit = self.enter();
        std::future::pending().await
    }

    async fn no_timeout(&self) {
        self.two_seconds().await;
    }
}

type Outcome = Result<Bytes, CallError<RemoteError>>;

/// Answers with what is left of the time of its call, in milliseconds.
const REMAINING: u8 = 20;
/// Takes a second, calls [`REMAINING`] of its caller with the timeout in its payload, and answers with the answer.
const NESTED: u8 = 21;
/// The same from a task of its own.
const SPAWNED: u8 = 22;
/// Calls [`HANG`] of its caller, with a timeout of a minute, and answers with the error.
const NESTED_HANG: u8 = 23;

const SECOND: Duration = Duration::from_secs(1);
const LATE: Outcome = Err(CallError::DeadlineExceeded);

fn to_millis(time: Option<Duration>) -> Bytes {
    let millis = time.expect("every call has a deadline").as_millis();
    Bytes::copy_from_slice(&u32::try_from(millis).expect("it fits").to_be_bytes())
}

fn of_millis(answer: &[u8]) -> Duration {
    Duration::from_millis(u32::from_be_bytes(answer.try_into().expect("four bytes")).into())
}

async fn nested(cx: Context, timeout: Bytes) -> Result<Bytes, RemoteError> {
    sleep(SECOND).await;
    let call = cx.connection().single(REMAINING, "");
    let call = if timeout.is_empty() { call } else { call.timeout(of_millis(&timeout)) };
    Ok(call.await?)
}

fn serve(probe: &Probe, builder: ManagerBuilder) -> ManagerBuilder {
    probe
        .sleep(probe.hang(echo(builder)))
        .serve(SlowServer::new(probe.clone()))
        .single(REMAINING, |cx: Context, _| async move { Ok(to_millis(cx.remaining())) })
        .single(NESTED, nested)
        .single(SPAWNED, |cx, timeout| async { tokio::spawn(nested(cx, timeout)).await.expect("no panic") })
        .single(NESTED_HANG, |cx: Context, _| async move {
            let call = cx.connection().single(HANG, "").timeout(60 * SECOND);
            Ok(Bytes::from(call.await.expect_err("it hangs").to_string()))
        })
}

struct Scene {
    network: Network,
    left: Manager,
    _right: Manager,
    /// Counts visits to the right node.
    probe: Probe,
    /// Counts visits to the left node.
    near: Probe,
}

impl Scene {
    async fn new(left: impl FnOnce(ManagerBuilder) -> ManagerBuilder) -> Self {
        let (network, probe, near) = (Network::default(), Probe::default(), Probe::default());
        let (left, right) = network.pair(|builder| left(serve(&near, builder)), |right| serve(&probe, right)).await;
        Self { network, left, _right: right, probe, near }
    }

    fn call(&self, handler: u8, payload: impl AsRef<[u8]>) -> Call<Bytes, RemoteError> {
        only(&self.left).single(handler, payload)
    }
}

/// What becomes of a call, and after how long.
async fn timed<T, E>(call: Call<T, E>) -> (Result<T, CallError<E>>, Duration) {
    let start = Instant::now();
    let outcome = within(call.into_future()).await;
    (outcome, start.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_call_without_a_timeout_has_sixty_seconds_and_its_handler_is_dropped_then() {
    let scene = Scene::new(|left| left).await;
    assert_eq!(timed(scene.call(HANG, "")).await, (LATE, 60 * SECOND));
    scene.probe.until(|visits| visits.dropped == 1).await;
    assert_eq!(only(&scene.left).stats().calls_out, 0);
}

#[tokio::test(start_paused = true)]
async fn the_time_of_calls_without_a_timeout_can_be_set() {
    let scene = Scene::new(|left| left.timeouts(|timeouts| timeouts.call = 3 * SECOND)).await;
    assert_eq!(timed(scene.call(HANG, "")).await, (LATE, 3 * SECOND));
    assert_eq!(timed(scene.call(HANG, "").timeout(5 * SECOND)).await, (LATE, 5 * SECOND), "a timeout replaces it");
}

#[tokio::test(start_paused = true)]
async fn the_timeout_of_a_method_stands_unless_the_caller_gives_another() {
    let scene = Scene::new(|left| left.timeouts(|timeouts| timeouts.call = 5 * SECOND)).await;
    let slow = SlowClient::new(only(&scene.left));
    let late = Err(CallError::DeadlineExceeded);
    assert_eq!(timed(slow.two_seconds()).await, (late.clone(), 2 * SECOND));
    assert_eq!(timed(slow.no_timeout()).await, (late.clone(), 5 * SECOND));
    assert_eq!(timed(slow.two_seconds().timeout(9 * SECOND)).await, (late.clone(), 9 * SECOND));
    assert_eq!(timed(slow.two_seconds().timeout(SECOND)).await, (late.clone(), SECOND));
    assert_eq!(timed(slow.two_seconds().deadline(Instant::now() + 9 * SECOND)).await, (late, 9 * SECOND));
    settle().await;
    assert_eq!(scene.probe.visits().dropped, 5);
}

#[tokio::test(start_paused = true)]
async fn of_a_timeout_and_a_deadline_the_earlier_counts() {
    let scene = Scene::new(|left| left).await;
    let at = |seconds: u32| Instant::now() + seconds * SECOND;
    assert_eq!(timed(scene.call(HANG, "").timeout(2 * SECOND)).await, (LATE, 2 * SECOND));
    assert_eq!(timed(scene.call(HANG, "").deadline(at(2))).await, (LATE, 2 * SECOND));
    assert_eq!(timed(scene.call(HANG, "").timeout(2 * SECOND).deadline(at(3))).await, (LATE, 2 * SECOND));
    assert_eq!(timed(scene.call(HANG, "").timeout(3 * SECOND).deadline(at(2))).await, (LATE, 2 * SECOND));
    assert_eq!(
        timed(scene.call(HANG, "").deadline(at(90))).await,
        (LATE, 90 * SECOND),
        "it is longer than the default"
    );
    assert_eq!(timed(scene.call(HANG, "").timeout(90 * SECOND)).await, (LATE, 90 * SECOND));
    let in_std = at(2).into_std();
    assert_eq!(timed(scene.call(HANG, "").deadline(in_std)).await, (LATE, 2 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn a_timeout_counts_from_the_first_poll_and_a_deadline_does_not() {
    let scene = Scene::new(|left| left).await;
    let timeout = scene.call(HANG, "").timeout(3 * SECOND);
    let deadline = scene.call(HANG, "").deadline(Instant::now() + 3 * SECOND);
    sleep(2 * SECOND).await;
    assert_eq!(timed(deadline).await, (LATE, SECOND));
    assert_eq!(timed(timeout).await, (LATE, 3 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn a_call_without_a_millisecond_left_is_not_sent() {
    let scene = Scene::new(|left| left).await;
    let connection = only(&scene.left);
    let before = connection.stats();
    let now = Instant::now();
    for call in [
        scene.call(HANG, "").timeout(Duration::ZERO),
        scene.call(HANG, "").timeout(Duration::from_micros(999)),
        scene.call(HANG, "").deadline(now),
        scene.call(HANG, "").deadline(now - SECOND),
        scene.call(HANG, "").timeout(SECOND).deadline(now),
    ] {
        assert_eq!(timed(call).await, (LATE, Duration::ZERO));
    }
    settle().await;
    assert_eq!(connection.stats(), before);
    assert_eq!(scene.probe.visits().started, 0);
}

#[tokio::test(start_paused = true)]
async fn the_longest_of_times_is_no_overflow() {
    let scene = Scene::new(|left| left).await;
    assert_eq!(scene.call(ECHO, "x").timeout(Duration::MAX).await, Ok(Bytes::from("x")));
    let remaining = scene.call(REMAINING, "").timeout(Duration::MAX).await.expect("it answers");
    assert_eq!(of_millis(&remaining), Duration::from_millis(u32::MAX.into()));
}

#[tokio::test(start_paused = true)]
async fn a_handler_knows_how_long_its_caller_waits() {
    let scene = Scene::new(|left| left).await;
    let remaining = scene.call(REMAINING, "").timeout(5 * SECOND).await.expect("it answers");
    assert_eq!(of_millis(&remaining), 5 * SECOND);
    let remaining = scene.call(REMAINING, "").await.expect("it answers");
    assert_eq!(of_millis(&remaining), 60 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn the_handler_is_dropped_when_the_time_of_its_call_is_up() {
    let scene = Scene::new(|left| left).await;
    let call = scene.call(SLEEP, sleep_for(3 * SECOND)).timeout(2 * SECOND);
    assert_eq!(timed(call).await, (LATE, 2 * SECOND));
    settle().await;
    let visits = scene.probe.visits();
    assert_eq!((visits.dropped, visits.finished), (1, 0));
}

/// The caller is frozen: only the server can see the deadline pass.
#[tokio::test(start_paused = true)]
async fn the_server_drops_the_handler_at_the_deadline_by_itself() {
    let scene = Scene::new(|left| left).await;
    let mut call = Box::pin(scene.call(HANG, "").timeout(2 * SECOND).into_future());
    assert!(futures_util::poll!(call.as_mut()).is_pending());
    settle().await;
    scene.network.freeze();
    sleep(2 * SECOND).await;
    settle().await;
    assert_eq!(scene.probe.visits().dropped, 1);
    assert_eq!(call.await, LATE);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_too_late_is_ignored_and_meets_no_other_call() {
    let scene = Scene::new(|left| left).await;
    let call = tokio::spawn(timed(scene.call(SLEEP, sleep_for(SECOND)).timeout(2 * SECOND)));
    settle().await;
    scene.network.freeze();
    assert_eq!(call.await.expect("no panic"), (LATE, 2 * SECOND));
    assert_eq!(scene.probe.visits().finished, 1, "the answer is on its way");
    let next = tokio::spawn(timed(scene.call(HANG, "").timeout(2 * SECOND)));
    settle().await;
    scene.network.thaw();
    assert_eq!(next.await.expect("no panic"), (LATE, 2 * SECOND), "it takes the same slot of the table");
    assert_eq!(scene.call(ECHO, "x").await, Ok(Bytes::from("x")));
    assert_eq!(only(&scene.left).stats().reconnects, 0);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_passes_while_a_call_waits_for_room_ends_it_unsent() {
    let small = |left: ManagerBuilder| left.limits(|limits| limits.outbox_bytes_max = 1 << 10);
    let scene = Scene::new(small).await;
    scene.network.freeze();
    let clogs = [200_000, 2_000].map(|bytes| tokio::spawn(timed(scene.call(ECHO, vec![0; bytes]))));
    settle().await;
    assert_eq!(timed(scene.call(HANG, "").timeout(SECOND)).await, (LATE, SECOND));
    scene.network.thaw();
    for clog in clogs {
        assert!(clog.await.expect("no panic").0.is_ok());
    }
    settle().await;
    assert_eq!(scene.probe.visits().started, 0);
}

#[tokio::test(start_paused = true)]
async fn a_nested_call_has_what_is_left_of_the_time_of_the_call_being_served() {
    let scene = Scene::new(|left| left).await;
    let no_timeout = scene.call(NESTED, "").timeout(5 * SECOND).await.expect("it answers");
    assert_eq!(of_millis(&no_timeout), 4 * SECOND, "a second has passed");
    let longer = scene.call(NESTED, to_millis(Some(60 * SECOND))).timeout(5 * SECOND).await.expect("it answers");
    assert_eq!(of_millis(&longer), 4 * SECOND, "not more than is left");
    let shorter = scene.call(NESTED, to_millis(Some(2 * SECOND))).timeout(5 * SECOND).await.expect("it answers");
    assert_eq!(of_millis(&shorter), 2 * SECOND, "the shorter of the two");
    let default = scene.call(NESTED, "").timeout(200 * SECOND).await.expect("it answers");
    assert_eq!(of_millis(&default), 60 * SECOND, "the default is the shorter one");
}

#[tokio::test(start_paused = true)]
async fn a_task_that_a_handler_spawns_inherits_no_time() {
    let scene = Scene::new(|left| left).await;
    let spawned = scene.call(SPAWNED, "").timeout(5 * SECOND).await.expect("it answers");
    assert_eq!(of_millis(&spawned), 60 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn when_the_time_is_up_the_whole_chain_of_handlers_is_dropped() {
    let scene = Scene::new(|left| left).await;
    assert_eq!(timed(scene.call(NESTED_HANG, "").timeout(5 * SECOND)).await, (LATE, 5 * SECOND));
    settle().await;
    let visits = scene.near.visits();
    assert_eq!((visits.started, visits.dropped), (1, 1));
    assert_eq!((only(&scene.left).stats().calls_in, only(&scene.left).stats().calls_out), (0, 0));
}

/// Begins a call within the next write of a link: by then its driver has looked at the deadlines of calls, and it is still
/// awake.
#[derive(Clone, Default)]
struct InNextWrite {
    call: Arc<Mutex<Option<Begun>>>,
    begun: Arc<Mutex<Option<Begun>>>,
}

type Begun = Pin<Box<dyn Future<Output = Outcome> + Send>>;
type Std<'a> = std::task::Context<'a>;

struct Watched {
    io: BoxIo,
    in_next_write: InNextWrite,
}

struct Watching(Network, InNextWrite);

impl Connector for Watching {
    fn connect<'a>(&'a self, name: &'a str) -> Pin<Box<dyn Future<Output = io::Result<BoxIo>> + Send + 'a>> {
        Box::pin(async {
            let io = self.0.connect(name).await?;
            Ok(Box::new(Watched { io, in_next_write: self.1.clone() }) as BoxIo)
        })
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Std<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Std<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let InNextWrite { call, begun } = &self.in_next_write;
        if let Some(mut call) = call.lock().unwrap().take() {
            assert!(call.as_mut().poll(&mut Std::from_waker(Waker::noop())).is_pending());
            *begun.lock().unwrap() = Some(call);
        }
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Std<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Std<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// On a link that takes all, and on one that is full then.
#[tokio::test(start_paused = true)]
async fn a_call_that_begins_just_before_the_driver_sleeps_ends_at_its_deadline() {
    for bytes in [1, 2 * LINK_BYTES] {
        let (network, in_next_write) = (Network::default(), InNextWrite::default());
        let watching = Watching(network.clone(), in_next_write.clone());
        let probe = Probe::default();
        let (left, _right) = network.pair(|left| left.connector(watching), |right| serve(&probe, right)).await;
        settle().await;
        network.freeze();
        let call = only(&left).single(HANG, "").timeout(Duration::from_millis(50));
        *in_next_write.call.lock().unwrap() = Some(Box::pin(call.into_future()));
        let start = Instant::now();
        let other = tokio::spawn(only(&left).single(HANG, vec![7; bytes]).into_future());
        settle().await;
        let begun = in_next_write.begun.lock().unwrap().take().expect("the other call was written");
        assert_eq!(within(begun).await, LATE);
        assert_eq!(start.elapsed(), Duration::from_millis(50));
        other.abort();
    }
}

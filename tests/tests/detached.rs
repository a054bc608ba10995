//! Methods whose handlers run to their end whatever becomes of the call. Under virtual time.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use grid::{CallError, Context, Manager, ManagerBuilder};
use grid_tests::memory::{Network, settle, within};
use grid_tests::mesh::only;
use grid_tests::probe::{Probe, Visits};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

const SECOND: Duration = Duration::from_secs(1);

#[grid::service(id = 3)]
trait Work {
    /// Works for so many seconds, and to the end.
    #[rpc(detach)]
    async fn detached(&self, cx: &Context, seconds: u32) -> u32;

    /// Works for so many seconds, and then asks its caller how long it waits for the answer to that.
    #[rpc(detach)]
    async fn detached_nested(&self, cx: &Context, seconds: u32);

    /// Works for so many seconds, while somebody waits.
    async fn attached(&self, seconds: u32) -> u32;
}

#[grid::service(id = 4)]
trait Remaining {
    async fn remaining(&self, cx: &Context) -> Option<Duration>;
}

struct Teller;

impl Remaining for Teller {
    async fn remaining(&self, cx: &Context) -> Option<Duration> {
        cx.remaining()
    }
}

type Told = Arc<Mutex<Option<Result<Option<Duration>, CallError<Infallible>>>>>;

struct Worker(Probe, Told);

impl Worker {
    async fn work(&self, seconds: u32) -> u32 {
        let visit = self.0.enter();
        sleep(seconds * SECOND).await;
        visit.finish();
        seconds
    }
}

impl Work for Worker {
    async fn detached(&self, cx: &Context, seconds: u32) -> u32 {
        assert!(cx.remaining().is_some());
        self.work(seconds).await
    }

    async fn detached_nested(&self, cx: &Context, seconds: u32) {
        self.work(seconds).await;
        let remaining = RemainingClient::new(cx.connection()).remaining().await;
        self.1.lock().unwrap().replace(remaining);
    }

    async fn attached(&self, seconds: u32) -> u32 {
        self.work(seconds).await
    }
}

struct Scene {
    network: Network,
    left: Manager,
    right: Manager,
    probe: Probe,
    /// What the nested call of a detached handler ended with.
    told: Told,
}

impl Scene {
    async fn new() -> Self {
        let (network, probe, told) = (Network::default(), Probe::default(), Told::default());
        let serve = |right: ManagerBuilder| {
            right
                .serve(WorkServer::new(Worker(probe.clone(), Arc::clone(&told))))
                .limits(|limits| limits.calls_in_max = 2)
        };
        let (left, right) = network.pair(|left| left.serve(RemainingServer::new(Teller)), serve).await;
        Self { network, left, right, probe, told }
    }

    fn work(&self) -> WorkClient {
        WorkClient::new(only(&self.left))
    }

    async fn started(&self, seconds: u32) -> JoinHandle<Result<u32, CallError<Infallible>>> {
        let call = tokio::spawn(self.work().detached(seconds).into_future());
        settle().await;
        assert_eq!(self.probe.visits().started, 1);
        call
    }

    async fn assert_runs_to_its_end(&self) {
        let finished = self.probe.visits().finished;
        assert_eq!(self.probe.visits(), Visits { started: finished + 1, finished, dropped: 0 }, "it has not ended yet");
        self.probe.until(|visits| visits.finished == finished + 1).await;
        settle().await;
        assert_eq!(self.probe.visits().dropped, 0);
        assert_eq!(only(&self.right).stats().calls_in, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_detached_handler_answers_like_any_other() {
    let scene = Scene::new().await;
    assert_eq!(scene.work().detached(5).await, Ok(5));
}

#[tokio::test(start_paused = true)]
async fn a_detached_handler_outlives_its_caller() {
    let scene = Scene::new().await;
    scene.started(5).await.abort();
    sleep(SECOND).await;
    scene.assert_runs_to_its_end().await;
    assert_eq!(scene.work().attached(1).await, Ok(1), "its answer meets nobody");
}

#[tokio::test(start_paused = true)]
async fn a_detached_handler_outlives_its_deadline() {
    let scene = Scene::new().await;
    assert_eq!(scene.work().detached(5).timeout(SECOND).await, Err(CallError::DeadlineExceeded));
    scene.assert_runs_to_its_end().await;
    let stats = only(&scene.right).stats();
    assert_eq!((stats.messages_out, stats.reconnects), (0, 0), "an answer that nobody waits for is not sent");
}

#[tokio::test(start_paused = true)]
async fn a_detached_handler_outlives_its_link() {
    let scene = Scene::new().await;
    let call = scene.started(5).await;
    scene.network.cut();
    assert!(matches!(within(call).await.expect("no panic"), Err(CallError::Disconnected(_))));
    scene.assert_runs_to_its_end().await;
    within(only(&scene.left).ready()).await.expect("not shut down");
    assert_eq!(scene.work().attached(1).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn the_calls_of_a_detached_handler_do_not_end_with_its_own() {
    let scene = Scene::new().await;
    let call = scene.work().detached_nested(5).timeout(SECOND).await;
    assert_eq!(call, Err(CallError::DeadlineExceeded));
    scene.assert_runs_to_its_end().await;
    let told = scene.told.lock().unwrap().take();
    assert_eq!(told, Some(Ok(Some(60 * SECOND))), "its own time was up long ago");
}

#[tokio::test(start_paused = true)]
async fn a_detached_handler_takes_up_its_place_until_its_end() {
    let scene = Scene::new().await;
    scene.started(5).await.abort();
    settle().await;
    assert_eq!(only(&scene.right).stats().calls_in, 1);
    let (one, two) = tokio::join!(scene.work().attached(1).into_future(), scene.work().attached(1).into_future());
    assert_eq!(one, Ok(1));
    assert!(matches!(two, Err(CallError::Refused(_))), "there are two places, and one is taken");
    scene.probe.until(|visits| visits.finished == 2).await;
    settle().await;
    assert_eq!(only(&scene.right).stats().calls_in, 0);
}

/// Else a caller that reconnects again and again could start any number of them.
#[tokio::test(start_paused = true)]
async fn a_detached_handler_takes_up_its_place_beyond_the_end_of_its_link() {
    let scene = Scene::new().await;
    let call = scene.started(20).await;
    scene.network.cut();
    assert!(within(call).await.expect("no panic").is_err());
    within(only(&scene.left).ready()).await.expect("not shut down");
    let (one, two) = tokio::join!(scene.work().attached(1).into_future(), scene.work().attached(1).into_future());
    assert_eq!(one, Ok(1));
    assert!(matches!(two, Err(CallError::Refused(_))), "there are two places, and one is taken");
    scene.assert_runs_to_its_end().await;
    let (one, two) = tokio::join!(scene.work().attached(1).into_future(), scene.work().attached(1).into_future());
    assert_eq!((one, two), (Ok(1), Ok(1)));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_waits_for_detached_handlers_within_its_limit() {
    let scene = Scene::new().await;
    scene.started(5).await.abort();
    settle().await;
    let start = Instant::now();
    within(scene.right.shutdown()).await;
    assert!(start.elapsed() > 4 * SECOND && start.elapsed() <= 5 * SECOND, "{:?}", start.elapsed());
    assert_eq!(scene.probe.visits().finished, 1);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_does_not_wait_for_a_detached_handler_for_ever() {
    let scene = Scene::new().await;
    let call = scene.started(1_000).await;
    let start = Instant::now();
    within(scene.right.shutdown()).await;
    assert_eq!(start.elapsed(), 20 * SECOND, "once with its call, once without");
    assert!(within(call).await.expect("no panic").is_err());
    assert_eq!(scene.probe.visits().dropped, 0);
    sleep(1_000 * SECOND).await;
    assert_eq!(scene.probe.visits().finished, 1, "it is not dropped even then");
}

#[tokio::test(start_paused = true)]
async fn a_detached_handler_outlives_its_node() {
    let scene = Scene::new().await;
    let call = scene.started(5).await;
    scene.network.remove(scene.right.name());
    let Scene { network, right, probe, .. } = scene;
    drop(right);
    network.cut();
    assert!(within(call).await.expect("no panic").is_err());
    probe.until(|visits| visits.finished == 1).await;
}

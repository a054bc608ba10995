//! Nodes that leave: slowly and politely, or at once.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, poll};
use grid::{CallError, Connection, Context, Manager, ManagerBuilder, RefusalReason, RemoteError, State};
use grid_tests::memory::{LINK_BYTES, Network, dials, names, settle, within};
use grid_tests::mesh::{only, pair, soon};
use grid_tests::probe::{ECHO, HANG, Probe, SLEEP, echo, sleep_for};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// Sleeps a second, and then echoes by way of its caller.
const NESTED: u8 = 20;

const SECOND: Duration = Duration::from_secs(1);

type Outcome = Result<Bytes, CallError<RemoteError>>;

fn serve(probe: &Probe, builder: ManagerBuilder) -> ManagerBuilder {
    probe.sleep(probe.hang(echo(builder))).single(NESTED, |cx: Context, payload: Bytes| async move {
        sleep(SECOND).await;
        Ok::<_, RemoteError>(cx.connection().single(ECHO, payload).await?)
    })
}

struct Scene {
    network: Network,
    left: Manager,
    right: Manager,
    probe: Probe,
}

impl Scene {
    async fn new() -> Self {
        let (network, probe) = (Network::default(), Probe::default());
        let (left, right) = network.pair(|left| serve(&probe, left), |right| serve(&probe, right)).await;
        Self { network, left, right, probe }
    }

    /// Calls from the left node to the right one.
    fn connection(&self) -> Connection {
        only(&self.left)
    }

    async fn started(&self, handler: u8, payload: impl AsRef<[u8]>) -> JoinHandle<Outcome> {
        started(&self.connection(), handler, payload).await
    }

    fn lost(&self) -> Outcome {
        Err(CallError::Disconnected(self.right.name().into()))
    }
}

async fn started(connection: &Connection, handler: u8, payload: impl AsRef<[u8]>) -> JoinHandle<Outcome> {
    let call = tokio::spawn(connection.single(handler, payload).into_future());
    settle().await;
    call
}

/// A shutdown that has begun, and how long it takes.
async fn shutting_down(node: &Manager) -> JoinHandle<Duration> {
    let node = node.clone();
    let start = Instant::now();
    let shutdown = tokio::spawn(async move {
        node.shutdown().await;
        start.elapsed()
    });
    settle().await;
    shutdown
}

fn assert_draining(outcome: Outcome) {
    match outcome {
        Err(CallError::Refused(refusal)) => assert_eq!(refusal.reason(), RefusalReason::Draining, "{refusal}"),
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_leaves_lets_no_new_call_in_and_running_ones_finish() {
    let scene = Scene::new().await;
    let start = Instant::now();
    let running = scene.started(SLEEP, sleep_for(5 * SECOND)).await;
    let nested = scene.started(NESTED, "nested").await;
    let shutdown = shutting_down(&scene.right).await;
    assert_eq!(scene.connection().state(), State::Draining);
    let refused = scene.connection().single(ECHO, "x").into_future().now_or_never();
    assert_draining(refused.expect("at once"));
    assert_eq!(within(nested).await.expect("no panic"), Ok(Bytes::from("nested")), "handlers that run may still call");
    assert!(within(running).await.expect("no panic").is_ok());
    within(shutdown).await.expect("no panic");
    assert_eq!(start.elapsed(), 5 * SECOND, "the drain took no longer than the calls");
    settle().await;
    assert_eq!(scene.connection().single(ECHO, "x").await, scene.lost());
}

/// The request crosses the news that the node leaves.
#[tokio::test(start_paused = true)]
async fn a_call_that_crosses_the_news_of_a_drain_is_refused_by_the_node_that_leaves() {
    let scene = Scene::new().await;
    let running = scene.started(SLEEP, sleep_for(5 * SECOND)).await;
    scene.network.hold_dialling();
    let shutdown = shutting_down(&scene.right).await;
    assert_eq!(scene.connection().state(), State::Connected, "the news has not come");
    let crossing = scene.started(ECHO, "x").await;
    scene.network.thaw();
    assert_draining(within(crossing).await.expect("no panic"));
    assert!(within(running).await.expect("no panic").is_ok());
    within(shutdown).await.expect("no panic");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_leaves_finishes_the_calls_it_makes() {
    let scene = Scene::new().await;
    let start = Instant::now();
    let call = scene.started(SLEEP, sleep_for(5 * SECOND)).await;
    let shutdown = shutting_down(&scene.left).await;
    assert!(within(call).await.expect("no panic").is_ok());
    within(shutdown).await.expect("no panic");
    assert_eq!(start.elapsed(), 5 * SECOND);
}

/// New work of its own would keep the node from leaving; what a running handler needs does not.
#[tokio::test(start_paused = true)]
async fn a_node_that_leaves_begins_no_calls_but_those_of_its_handlers() {
    let scene = Scene::new().await;
    let nested = scene.started(NESTED, "nested").await;
    let shutdown = shutting_down(&scene.right).await;
    let new = only(&scene.right).single(ECHO, "x").into_future().now_or_never();
    assert_eq!(new, Some(Err(CallError::Cancelled)));
    assert_eq!(within(nested).await.expect("no panic"), Ok(Bytes::from("nested")));
    assert!(within(shutdown).await.expect("no panic") < 2 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_at_its_limit_whatever_runs() {
    let scene = Scene::new().await;
    let (there, here) = (scene.started(HANG, "").await, started(&only(&scene.right), HANG, "").await);
    let shutdown = shutting_down(&scene.right).await;
    assert_eq!(within(shutdown).await.expect("no panic"), 10 * SECOND, "the default");
    assert_eq!(within(there).await.expect("no panic"), scene.lost());
    assert_eq!(within(here).await.expect("no panic"), Err(CallError::Cancelled), "its own node was shut down");
    scene.probe.until(|visits| visits.dropped == 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_drain_whose_peer_reads_nothing_ends_all_the_same() {
    let scene = Scene::new().await;
    scene.network.freeze();
    let call = started(&only(&scene.right), ECHO, vec![0; 2 * LINK_BYTES]).await;
    let shutdown = shutting_down(&scene.right).await;
    let took = within(shutdown).await.expect("no panic");
    assert!(took <= 4 * SECOND, "the write timeout ends it, not after {took:?}");
    assert!(within(call).await.expect("no panic").is_err());
}

#[tokio::test(start_paused = true)]
async fn answers_that_are_queued_when_the_drain_ends_still_go_out() {
    let scene = Scene::new().await;
    let payload = vec![7; 4 * LINK_BYTES];
    scene.network.hold_dialling();
    let call = scene.started(ECHO, &payload).await;
    let shutdown = shutting_down(&scene.right).await;
    sleep(SECOND).await;
    scene.network.thaw();
    let answer = within(call).await.expect("no panic").map(|answer| answer == payload);
    assert_eq!(answer, Ok(true));
    within(shutdown).await.expect("no panic");
}

#[tokio::test(start_paused = true)]
async fn shutting_down_twice_waits_for_the_same_end() {
    let scene = Scene::new().await;
    let running = scene.started(SLEEP, sleep_for(5 * SECOND)).await;
    let first = shutting_down(&scene.right).await;
    sleep(SECOND).await;
    let second = shutting_down(&scene.right).await;
    assert!(!first.is_finished() && !second.is_finished());
    assert!(within(running).await.expect("no panic").is_ok());
    let ends = (within(first).await.expect("no panic"), within(second).await.expect("no panic"));
    assert!(ends.0 <= 5 * SECOND && ends.1 < 4 * SECOND, "{ends:?}");
    let third = shutting_down(&scene.right).await;
    assert_eq!(within(third).await.expect("no panic"), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_that_nobody_waits_for_goes_on() {
    let scene = Scene::new().await;
    let running = scene.started(SLEEP, sleep_for(5 * SECOND)).await;
    {
        let mut shutdown = pin!(scene.right.shutdown());
        assert!(poll!(shutdown.as_mut()).is_pending());
    }
    settle().await;
    assert_eq!(scene.connection().state(), State::Draining);
    assert!(scene.right.closed().now_or_never().is_none());
    assert!(within(running).await.expect("no panic").is_ok());
    within(scene.right.closed()).await;
    assert_eq!(only(&scene.right).state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn both_sides_may_leave_at_once() {
    let scene = Scene::new().await;
    let calls = [scene.started(SLEEP, sleep_for(SECOND)).await, started(&only(&scene.right), NESTED, "x").await];
    let shutdowns = [shutting_down(&scene.left).await, shutting_down(&scene.right).await];
    let [there, nested] = calls.map(|call| async { within(call).await.expect("no panic") });
    assert!(there.await.is_ok());
    let nested = nested.await;
    assert!(nested.is_ok() || matches!(nested, Err(CallError::Remote(_))), "its own call may be refused: {nested:?}");
    for shutdown in shutdowns {
        let took = within(shutdown).await.expect("no panic");
        assert!(took < 2 * SECOND, "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_shutdown_nothing_connects_and_every_call_is_cancelled() {
    let scene = Scene::new().await;
    let far = only(&scene.right);
    let mut changes = far.changes();
    assert_eq!(changes.next().await, Some(State::Connected));
    within(scene.right.shutdown()).await;
    assert_eq!(far.single(ECHO, "x").await, Err(CallError::Cancelled));
    assert_eq!(within(changes.collect::<Vec<_>>()).await.last(), Some(&State::Closed));
    sleep(60 * SECOND).await;
    assert!(matches!(scene.connection().state(), State::Disconnected(_)), "it is dialled in vain");
}

#[tokio::test(start_paused = true)]
async fn a_node_without_links_shuts_down_at_once_and_nothing_of_it_runs_on() {
    let metrics = Handle::current().metrics();
    let before = metrics.num_alive_tasks();
    let (name, away) = names();
    let node = Network::default().builder(&name).peers([away]).build().expect("it starts");
    settle().await;
    assert_eq!(metrics.num_alive_tasks(), before + 1, "it dials");
    let start = Instant::now();
    within(node.shutdown()).await;
    assert_eq!((start.elapsed(), metrics.num_alive_tasks()), (Duration::ZERO, before));
}

#[tokio::test(start_paused = true)]
async fn calls_that_run_when_their_node_is_dropped_are_cancelled() {
    let scene = Scene::new().await;
    let (there, here) = (scene.started(HANG, "").await, started(&only(&scene.right), HANG, "").await);
    let connection = scene.connection();
    drop(scene.left);
    assert_eq!(within(there).await.expect("no panic"), Err(CallError::Cancelled));
    let lost = Err(CallError::Disconnected(connection.local().into()));
    assert_eq!(within(here).await.expect("no panic"), lost);
    scene.probe.until(|visits| visits.dropped == 2).await;
    assert_eq!(connection.state(), State::Closed);
    assert_eq!(connection.single(ECHO, "x").await, Err(CallError::Cancelled));
}

/// Both nodes are dropped in the midst of calls; what remains of them is nothing.
#[tokio::test]
async fn the_last_handle_of_a_node_takes_its_tasks_and_links_with_it() {
    let probe = Probe::default();
    let metrics = Handle::current().metrics();
    let before = metrics.num_alive_tasks();
    let (left, right) = pair(|left| serve(&probe, left), |right| serve(&probe, right)).await;
    let (near, far) = (only(&left), only(&right));
    let calls = [&near, &far].map(|connection| tokio::spawn(connection.single(HANG, "").into_future()));
    soon(probe.until(|visits| visits.started == 2)).await;

    let other_handle = right.clone();
    drop(right);
    assert_eq!(near.single(ECHO, "x").await, Ok(Bytes::from("x")), "there is another handle");
    drop(other_handle);
    let mut changes = near.changes();
    let down = async { while !matches!(changes.next().await, Some(State::Disconnected(_))) {} };
    soon(down).await;
    drop(changes);
    drop(left);
    for call in calls {
        assert!(soon(call).await.expect("no panic").is_err());
    }
    soon(probe.until(|visits| visits.dropped == 2)).await;
    let gone = async {
        while metrics.num_alive_tasks() > before {
            sleep(Duration::from_millis(1)).await;
        }
    };
    soon(gone).await;
    assert_eq!((near.state(), far.state()), (State::Closed, State::Closed));
}

/// On many threads the tasks of a node that dial end while the node is still being closed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_a_dropped_node_are_cancelled_whichever_of_its_tasks_ends_first() {
    let (network, probe) = (Network::default(), Probe::default());
    let (dialling, _) = names();
    let peers: Vec<_> = (0..1000).map(|number| format!("http://peer-{number}:1")).collect();
    let peers: Vec<_> = peers.into_iter().filter(|peer| dials(&dialling, peer)).take(100).collect();
    let nodes = peers.iter().map(|peer| probe.hang(network.builder(peer).peers([&*dialling])).build());
    nodes.for_each(|node| network.add(&node.expect("it starts")));
    for round in 1..=10 {
        let node = network.builder(&dialling).peers(peers.iter().map(|peer| &**peer)).build().expect("it starts");
        let calls = node.connections().map(|connection| async move {
            soon(connection.ready()).await.expect("not shut down");
            connection.single(HANG, "").await
        });
        let calls: Vec<_> = calls.map(tokio::spawn).collect();
        soon(probe.until(|visits| visits.started == round * peers.len())).await;
        drop(node);
        for call in calls {
            assert_eq!(soon(call).await.expect("no panic"), Err(CallError::Cancelled), "round {round}");
        }
    }
}

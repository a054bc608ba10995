//! The simulation itself: each fault does what it says.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use grid::sim::{Node, Sim};
use grid::{CallError, LinkError, RemoteError, State};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

const CALLER: &str = "http://caller:1";
const SERVER: &str = "http://server:1";
const ACT: u8 = 20;

type Exit = Result<(), Box<dyn std::error::Error + Send + Sync>>;
type Outcome = Result<bytes::Bytes, CallError<RemoteError>>;

/// Two nodes, one of which makes a call when it is told to, and tells how that ended and how long it took.
struct Pair {
    sim: Sim,
    notes: Notes,
}

#[derive(Clone, Default)]
struct Notes {
    go: Arc<Notify>,
    ended: Arc<Mutex<Option<(Outcome, Duration)>>>,
    state: Arc<Mutex<Option<State>>>,
    served: Arc<Mutex<usize>>,
}

impl Pair {
    fn new() -> Self {
        let (mut sim, notes) = (Sim::new(1), Notes::default());
        let [server, caller] = [notes.clone(), notes.clone()];
        sim.node(SERVER, move |node| serve(node, server.clone()));
        sim.node(CALLER, move |node| call(node, caller.clone()));
        let mut pair = Self { sim, notes };
        pair.until(Duration::from_secs(1), |state| *state == State::Connected);
        pair
    }

    fn until(&mut self, limit: Duration, mut is: impl FnMut(&State) -> bool) {
        let state = Arc::clone(&self.notes.state);
        self.sim.run_until(limit, || state.lock().unwrap().as_ref().is_some_and(&mut is));
    }

    fn go(&mut self) {
        self.notes.go.notify_one();
    }

    /// How the call ends, in so long at the latest.
    fn ended(&mut self, limit: Duration) -> (Outcome, Duration) {
        let ended = Arc::clone(&self.notes.ended);
        self.sim.run_until(limit, || ended.lock().unwrap().is_some());
        ended.lock().unwrap().take().expect("just waited for")
    }
}

async fn serve(node: Node, notes: Notes) -> Exit {
    let manager = node.builder().peers([CALLER]).shared_secret("secret").single(ACT, move |_, payload| {
        let served = Arc::clone(&notes.served);
        async move {
            *served.lock().unwrap() += 1;
            sleep(SERVES).await;
            Ok(payload)
        }
    });
    manager.start().await?.closed().await;
    Ok(())
}

async fn call(node: Node, notes: Notes) -> Exit {
    let manager = node.builder().peers([SERVER]).shared_secret("secret").start().await?;
    let connection = manager.connection(SERVER)?;
    let watched = connection.clone();
    tokio::spawn(async move {
        loop {
            *notes.state.lock().unwrap() = Some(watched.state());
            sleep(Duration::from_millis(1)).await;
        }
    });
    loop {
        notes.go.notified().await;
        let start = Instant::now();
        let outcome = connection.single(ACT, "x").timeout(TIMEOUT).await;
        *notes.ended.lock().unwrap() = Some((outcome, start.elapsed()));
    }
}

#[test]
fn a_call_takes_its_way_and_its_handler_and_no_more() {
    let mut pair = Pair::new();
    pair.sim.delay(CALLER, SERVER, Duration::from_millis(20)..=Duration::from_millis(20));
    pair.go();
    let (outcome, took) = pair.ended(TIMEOUT);
    assert_eq!((outcome, took), (Ok("x".into()), SERVES + Duration::from_millis(40)));
}

#[test]
fn what_is_sent_into_a_partition_arrives_when_that_is_healed() {
    let mut pair = Pair::new();
    pair.sim.partition(CALLER, SERVER);
    pair.go();
    pair.sim.run_for(Duration::from_secs(3));
    assert_eq!(*pair.notes.served.lock().unwrap(), 0);
    pair.sim.heal(SERVER, CALLER);
    let (outcome, took) = pair.ended(TIMEOUT);
    assert_eq!(outcome, Ok("x".into()));
    assert!(took > Duration::from_secs(3), "{took:?}");
}

#[test]
fn a_partition_of_one_way_lets_the_other_through() {
    let mut pair = Pair::new();
    pair.sim.partition_one_way(SERVER, CALLER);
    pair.go();
    assert_eq!(pair.ended(2 * TIMEOUT), (Err(CallError::DeadlineExceeded), TIMEOUT));
    assert_eq!(*pair.notes.served.lock().unwrap(), 1, "the request came, and the answer did not");
    // The pings are not answered either.
    pair.until(Duration::from_secs(30), |state| *state == State::Disconnected(Some(LinkError::Dead)));
    pair.sim.heal_all();
    pair.until(Duration::from_secs(10), |state| *state == State::Connected);
}

#[test]
fn a_crash_is_seen_at_once_and_an_outage_of_power_only_by_silence() {
    let mut pair = Pair::new();
    pair.sim.crash(SERVER);
    pair.until(Duration::from_millis(10), |state| matches!(state, State::Disconnected(_)));
    pair.sim.restart(SERVER);
    pair.until(Duration::from_secs(10), |state| *state == State::Connected);
    pair.sim.power_off(SERVER);
    pair.go();
    assert_eq!(pair.ended(2 * TIMEOUT), (Err(CallError::DeadlineExceeded), TIMEOUT));
    assert_eq!(*pair.notes.state.lock().unwrap(), Some(State::Connected), "half-open");
    pair.sim.restart(SERVER);
    // What is sent on the old connection is answered by a machine that does not know of it.
    pair.until(Duration::from_secs(20), |state| matches!(state, State::Disconnected(Some(LinkError::Closed(_)))));
    pair.until(Duration::from_secs(10), |state| *state == State::Connected);
}

#[test]
fn a_cut_ends_the_call_and_not_the_connection() {
    let mut pair = Pair::new();
    pair.go();
    pair.sim.run_for(SERVES / 2);
    pair.sim.cut(CALLER, SERVER);
    let (outcome, took) = pair.ended(TIMEOUT);
    assert_eq!(outcome, Err(CallError::Disconnected(SERVER.into())));
    assert!(took < SERVES, "{took:?}");
    pair.until(Duration::from_secs(10), |state| *state == State::Connected);
}

#[test]
fn the_clock_of_a_stalled_machine_goes_on() {
    let mut pair = Pair::new();
    pair.go();
    pair.sim.run_for(SERVES / 2);
    pair.sim.stall(CALLER, 2 * TIMEOUT);
    pair.sim.run_for(2 * TIMEOUT);
    let (outcome, took) = pair.ended(Duration::from_millis(10));
    // The answer has come, and the deadline has passed: which is seen first is for grid to say. Its time is not.
    assert!(took >= 2 * TIMEOUT, "{took:?}: {outcome:?}");
    pair.sim.stall(SERVER, 2 * TIMEOUT);
    pair.go();
    assert_eq!(pair.ended(2 * TIMEOUT), (Err(CallError::DeadlineExceeded), TIMEOUT));
}

#[test]
fn clocks_that_are_too_far_apart_keep_nodes_apart() {
    let mut pair = Pair::new();
    let right = pair.sim.clock(SERVER);
    pair.sim.set_clock(SERVER, right + Duration::from_secs(3600));
    pair.go();
    assert_eq!(pair.ended(TIMEOUT).0, Ok("x".into()), "it is looked at when nodes connect");
    pair.sim.cut(CALLER, SERVER);
    // Who is dialled is told nothing.
    pair.until(Duration::from_secs(10), |state| matches!(state, State::Disconnected(_)));
    pair.sim.run_for(Duration::from_secs(10));
    pair.until(Duration::from_millis(10), |state| matches!(state, State::Disconnected(_)));
    let wrong = pair.sim.clock(SERVER);
    pair.sim.set_clock(SERVER, wrong - Duration::from_secs(3600));
    pair.until(Duration::from_secs(10), |state| *state == State::Connected);
}

/// The text of the panic with which a simulation of this program fails.
fn failure<F>(program: impl Fn(Node) -> F + 'static) -> String
where
    F: Future<Output = Exit> + Send + 'static,
{
    let failed = catch_unwind(AssertUnwindSafe(|| {
        let mut sim = Sim::new(99);
        sim.node(CALLER, program);
        sim.run_to_end(CALLER, Duration::from_secs(1));
    }));
    *failed.expect_err("it fails").downcast::<String>().expect("a text")
}

#[test]
fn what_goes_wrong_in_a_node_fails_the_test_and_names_the_seed() {
    let in_a_task = failure(async |_| {
        let task = tokio::spawn(async { assert_eq!(1, 2, "in a task") });
        task.await.expect_err("it panics");
        Ok(())
    });
    let in_the_program = failure(async |_| panic!("in the program"));
    let an_error = failure(async |_| Err("an error".into()));
    let no_end = failure(async |_| std::future::pending().await);
    let texts = [(in_a_task, "in a task"), (in_the_program, "in the program"), (an_error, "an error"), (no_end, "1s")];
    for (text, says) in texts {
        assert!(text.contains("seed 99") && text.contains(CALLER) && text.contains(says), "{text}");
    }
}

const SERVES: Duration = Duration::from_millis(100);
const TIMEOUT: Duration = Duration::from_secs(5);

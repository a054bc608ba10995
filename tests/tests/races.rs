//! Answers, errors, deadlines, cancellations and lost links that race each other, by the hundreds, under virtual time.
//!
//! Each seed is a run of its own that happens the same way each time. An oracle follows every call: it ends, with an
//! outcome that can be and when it can be, and nothing is left of it.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use grid::{CallError, Connection, Manager, ManagerBuilder, RefusalReason, RemoteError};
use grid_tests::memory::{Network, settle, within};
use grid_tests::mesh::{only, quick};
use grid_tests::probe::Probe;
use tokio::time::{Instant, sleep};

const SEEDS: Range<u64> = 0..400;
const CALLS: u32 = 60;
/// Sleeps as the payload says, and answers with the payload, or with an error, or panics.
const ACT: u8 = 20;

/// What the caller and the handler of one call are to do. Times in milliseconds, few enough to meet often.
#[derive(Debug, Clone, Copy)]
struct Plan {
    number: u32,
    begins: u8,
    handler_takes: u8,
    ends_with: EndsWith,
    timeout: u8,
    caller_gives_up: Option<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EndsWith {
    Answer,
    Error,
    Panic,
}

impl Plan {
    fn draw(number: u32) -> Self {
        Self {
            number,
            begins: fastrand::u8(0..40),
            handler_takes: fastrand::u8(0..12),
            ends_with: [EndsWith::Answer, EndsWith::Answer, EndsWith::Error, EndsWith::Panic][fastrand::usize(0..4)],
            timeout: fastrand::u8(1..12),
            caller_gives_up: fastrand::bool().then(|| fastrand::u8(0..12)),
        }
    }

    fn payload(self) -> Vec<u8> {
        let mut payload = vec![self.handler_takes, self.ends_with as u8];
        payload.extend_from_slice(&self.number.to_be_bytes());
        // Some messages are larger than a link, so that a link may be lost in their midst.
        payload.resize(payload.len() + if self.number.is_multiple_of(15) { 70_000 } else { 0 }, 7);
        payload
    }
}

fn millis(count: u8) -> Duration {
    Duration::from_millis(count.into())
}

fn serve(probe: &Probe, builder: ManagerBuilder) -> ManagerBuilder {
    let probe = probe.clone();
    let small = quick(builder).limits(|limits| limits.outbox_bytes_max = 1 << 10);
    small.single(ACT, move |_, payload: Bytes| {
        let probe = probe.clone();
        async move {
            let visit = probe.enter();
            sleep(millis(payload[0])).await;
            visit.finish();
            match payload[1] {
                0 => Ok(payload),
                1 => Err(RemoteError::new(format!("error {:?}", &payload[2..6]))),
                _ => std::panic::resume_unwind(Box::new("as planned")),
            }
        }
    })
}

/// Counts how calls ended.
#[derive(Debug, Default)]
struct Oracle {
    ends: Mutex<HashMap<&'static str, usize>>,
}

impl Oracle {
    fn count(&self, end: &'static str) {
        *self.ends.lock().unwrap().entry(end).or_default() += 1;
    }

    /// Judges the one outcome of a call.
    fn on_outcome(&self, plan: Plan, took: Duration, outcome: Result<Bytes, CallError<RemoteError>>) {
        let own_error = RemoteError::new(format!("error {:?}", plan.number.to_be_bytes()));
        let end = match outcome {
            Ok(answer) => {
                assert!(answer == plan.payload(), "{plan:?} got the answer of another call");
                assert_eq!(plan.ends_with, EndsWith::Answer, "{plan:?}");
                "answer"
            }
            Err(CallError::Remote(error)) => {
                assert_eq!((error, plan.ends_with), (own_error, EndsWith::Error), "{plan:?}");
                "error"
            }
            Err(CallError::Refused(refusal)) => {
                assert_eq!(refusal.reason(), RefusalReason::Panicked, "{plan:?}: {refusal}");
                assert_eq!(plan.ends_with, EndsWith::Panic, "{plan:?}");
                "panic"
            }
            Err(CallError::DeadlineExceeded) => {
                assert_eq!(took, millis(plan.timeout), "{plan:?}");
                "deadline"
            }
            Err(CallError::Disconnected(_)) => "disconnected",
            Err(other) => panic!("{plan:?} ended with {other}"),
        };
        assert!(took <= millis(plan.timeout), "{plan:?} took {took:?}");
        if matches!(end, "answer" | "error" | "panic") {
            assert!(took >= millis(plan.handler_takes), "{plan:?} took {took:?}");
            assert!(
                took <= millis(plan.handler_takes + 1),
                "{plan:?} took {took:?}: woken by its answer, nothing later"
            );
        }
        self.count(end);
    }
}

async fn call(connection: Connection, plan: Plan, oracle: Arc<Oracle>) {
    sleep(millis(plan.begins)).await;
    let start = Instant::now();
    let call = connection.single(ACT, plan.payload()).timeout(millis(plan.timeout)).into_future();
    match plan.caller_gives_up {
        None => {
            let outcome = call.await;
            oracle.on_outcome(plan, start.elapsed(), outcome);
        }
        Some(after) => match tokio::time::timeout(millis(after), call).await {
            Ok(outcome) => oracle.on_outcome(plan, start.elapsed(), outcome),
            Err(_) => oracle.count("cancelled"),
        },
    }
}

async fn run(oracle: &Arc<Oracle>) {
    let (network, probe) = (Network::default(), Probe::default());
    let (left, right) = network.pair(|left| serve(&probe, left), |right| serve(&probe, right)).await;
    let calls: Vec<_> = (0..CALLS)
        .map(|number| {
            let connection = only(if number % 2 == 0 { &left } else { &right });
            tokio::spawn(call(connection, Plan::draw(number), Arc::clone(oracle)))
        })
        .collect();
    for _ in 0..fastrand::usize(0..3) {
        sleep(millis(fastrand::u8(0..25))).await;
        network.cut();
    }
    for call in calls {
        within(call).await.expect("the oracle has nothing to say");
    }
    for node in [&left, &right] {
        within(only(node).ready()).await.expect("not shut down");
    }
    sleep(millis(12)).await;
    settle().await;
    assert_nothing_left([&left, &right]);
    let visits = probe.visits();
    assert_eq!(visits.started, visits.finished + visits.dropped);
}

fn assert_nothing_left(nodes: [&Manager; 2]) {
    for node in nodes {
        let stats = only(node).stats();
        assert_eq!((stats.calls_out, stats.calls_in), (0, 0), "{}", node.name());
    }
}

#[test]
fn every_call_ends_as_it_can_and_leaves_nothing_however_its_ends_race() {
    let oracle = Arc::new(Oracle::default());
    for seed in SEEDS {
        fastrand::seed(seed);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        let ran = std::panic::AssertUnwindSafe(|| runtime.expect("it starts").block_on(run(&oracle)));
        if std::panic::catch_unwind(ran).is_err() {
            panic!("seed {seed} fails");
        }
    }
    let ends = oracle.ends.lock().unwrap();
    for end in ["answer", "error", "panic", "deadline", "disconnected", "cancelled"] {
        assert!(ends.get(end).is_some_and(|count| *count > 200), "{end} is among the races: {ends:?}");
    }
}

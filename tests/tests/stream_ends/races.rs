//! Ends that race each other, with two threads and real sockets: each stream is judged by an oracle.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use grid::{CallError, Connection, Inbound, Manager, ManagerBuilder, Outbound, RefusalReason, RemoteError, SendError};
use grid_tests::memory::Network;
use grid_tests::mesh::{only, pair, quick, soon};
use grid_tests::probe::Probe;
use grid_tests::streams::{Read, assert_idle, item, items, read_all};
use tokio::time::Instant;

const ACT: u8 = 21;
const STREAMS: u32 = 1_500;
const AT_ONCE: usize = 64;

/// How the handler ends, and what it does before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Well,
    Error,
    Panic,
    Never,
}

/// How the caller's items end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sends {
    Finishes,
    IsDropped,
    /// It sends until the stream has ended.
    Floods,
}

#[derive(Debug, Clone, Copy)]
struct Plan {
    number: u32,
    window: u32,
    ending: Ending,
    handler_sends: usize,
    caller_sends: usize,
    then: Sends,
    /// The reader is dropped after so many items.
    reads: Option<usize>,
    timeout: Option<Duration>,
}

impl Plan {
    fn draw(number: u32) -> Self {
        let ending = [Ending::Well, Ending::Well, Ending::Error, Ending::Panic, Ending::Never][fastrand::usize(0..5)];
        let then = [Sends::Finishes, Sends::IsDropped, Sends::Floods][fastrand::usize(0..3)];
        let timed = fastrand::bool() || ending == Ending::Never;
        Self {
            number,
            window: [1, 2, 16, 64][fastrand::usize(0..4)],
            ending,
            handler_sends: fastrand::usize(0..40),
            caller_sends: fastrand::usize(0..40),
            then,
            reads: (fastrand::u8(0..4) == 0).then(|| fastrand::usize(0..20)),
            timeout: timed.then(|| Duration::from_millis(fastrand::u64(1..20))),
        }
    }

    fn payload(self) -> Vec<u8> {
        let mut payload = vec![self.ending as u8, u8::try_from(self.handler_sends).expect("less than 40")];
        payload.extend(self.number.to_be_bytes());
        payload
    }
}

/// Judges the ends of streams, on both sides.
#[derive(Default)]
struct Oracle {
    probe: Probe,
    ends: Mutex<HashMap<&'static str, usize>>,
    /// What the handlers' inputs came to, by the number of the stream.
    inputs: Mutex<HashMap<u32, Read<Infallible>>>,
}

impl Oracle {
    fn serve(self: &Arc<Self>, builder: ManagerBuilder) -> ManagerBuilder {
        let oracle = Arc::clone(self);
        // The caller's windows are drawn; those of the handler differ from them.
        builder.stream(ACT, 8, move |_, payload: Bytes, inbound, outbound| {
            act(Arc::clone(&oracle), payload, inbound, outbound)
        })
    }

    fn count(&self, end: &'static str) {
        *self.ends.lock().unwrap().entry(end).or_default() += 1;
    }

    fn on_end(&self, plan: Plan, took: Duration, read: &Read<RemoteError>, cuts: bool) {
        let Read { items: got, error } = read;
        let end = match error {
            None => {
                assert_eq!(plan.ending, Ending::Well, "{plan:?}");
                "well"
            }
            Some(CallError::Remote(error)) => {
                assert_eq!((plan.ending, error.message()), (Ending::Error, "as planned"), "{plan:?}");
                "error"
            }
            Some(CallError::Refused(refusal)) => {
                let judged = (plan.ending, refusal.reason());
                assert_eq!(judged, (Ending::Panic, RefusalReason::Panicked), "{plan:?}: {refusal}");
                "panic"
            }
            Some(CallError::DeadlineExceeded) => {
                assert!(plan.timeout.is_some_and(|timeout| took >= timeout), "{plan:?} after {took:?}");
                "deadline"
            }
            Some(CallError::Cancelled) => {
                assert_eq!(plan.then, Sends::IsDropped, "{plan:?}");
                "cancelled"
            }
            Some(CallError::Disconnected(_)) if cuts => "disconnected",
            Some(other) => panic!("{plan:?} ended with {other:?}"),
        };
        assert_eq!(*got, items(0..got.len()), "{plan:?}: in order");
        if matches!(end, "well" | "error" | "panic") {
            assert_eq!(got.len(), plan.handler_sends, "{plan:?}: all that was sent before the end");
        }
        self.count(end);
    }

    /// What handlers read, once all has ended.
    fn assert_inputs(&self, plans: &[Plan]) {
        let inputs = self.inputs.lock().unwrap();
        for plan in plans {
            // Some were given up before their handler began.
            let Some(Read { items: got, error }) = inputs.get(&plan.number) else { continue };
            assert_eq!(*got, items(0..got.len()), "{plan:?}: in order");
            match error {
                None => {
                    assert_eq!(plan.then, Sends::Finishes, "{plan:?}: a clean end that the caller did not say");
                    assert_eq!(got.len(), plan.caller_sends, "{plan:?}: all that was sent before the end");
                }
                Some(CallError::Cancelled | CallError::DeadlineExceeded | CallError::Disconnected(_)) => {}
                Some(other) => panic!("{plan:?}: the input ended with {other:?}"),
            }
        }
    }
}

async fn act(
    oracle: Arc<Oracle>,
    payload: Bytes,
    mut inbound: Inbound<Bytes>,
    outbound: Outbound<Bytes>,
) -> Result<(), RemoteError> {
    let visit = oracle.probe.enter();
    let number = u32::from_be_bytes(payload[2..6].try_into().expect("four bytes"));
    let inputs = Arc::clone(&oracle);
    tokio::spawn(async move {
        let read = read_all(&mut inbound).await;
        let before = inputs.inputs.lock().unwrap().insert(number, read);
        assert!(before.is_none(), "a handler runs once");
    });
    for number in 0..usize::from(payload[1]) {
        outbound.send(item(number)).await?;
    }
    if payload[0] == Ending::Never as u8 {
        std::future::pending::<()>().await;
    }
    visit.finish();
    match payload[0] {
        0 => Ok(()),
        1 => Err(RemoteError::new("as planned")),
        _ => std::panic::resume_unwind(Box::new("as planned")),
    }
}

async fn send(outbound: Outbound<Bytes>, plan: Plan) {
    for number in 0.. {
        if number == plan.caller_sends && plan.then != Sends::Floods {
            break;
        }
        if let Err(error) = outbound.send(item(number)).await {
            assert_eq!(error, SendError::Ended);
            return;
        }
        if number % 7 == 0 {
            tokio::task::yield_now().await;
        }
    }
    match plan.then {
        Sends::Finishes => assert!(matches!(outbound.finish().await, Ok(()) | Err(SendError::Ended))),
        Sends::IsDropped | Sends::Floods => drop(outbound),
    }
}

async fn call(connection: Connection, plan: Plan, oracle: Arc<Oracle>, cuts: bool) {
    if cuts {
        connection.ready().await.expect("not shut down");
    }
    let start = Instant::now();
    let mut call = connection.stream(ACT, plan.window, plan.payload());
    if let Some(timeout) = plan.timeout {
        call = call.timeout(timeout);
    }
    let (outbound, mut inbound) = match call.await {
        Ok(halves) => halves,
        Err(error) => {
            let read = Read { items: Vec::new(), error: Some(error) };
            return oracle.on_end(plan, start.elapsed(), &read, cuts);
        }
    };
    let sender = tokio::spawn(send(outbound, plan));
    match plan.reads {
        None => {
            let read = read_all(&mut inbound).await;
            oracle.on_end(plan, start.elapsed(), &read, cuts);
        }
        Some(count) => {
            let _items: Vec<_> = (&mut inbound).take(count).collect().await;
            drop(inbound);
            oracle.count("given up");
        }
    }
    sender.await.expect("no panic");
}

async fn run(left: &Manager, right: &Manager, oracle: &Arc<Oracle>, cuts: bool) {
    let plans: Vec<_> = (0..STREAMS).map(Plan::draw).collect();
    let calls = plans.iter().map(|plan| {
        let connection = only(if plan.number % 2 == 0 { left } else { right });
        tokio::spawn(call(connection, *plan, Arc::clone(oracle), cuts))
    });
    let mut calls = futures_util::stream::iter(calls).buffer_unordered(AT_ONCE);
    while let Some(ended) = soon(calls.next()).await {
        ended.expect("the oracle has nothing to say");
    }
    assert_eq!(oracle.ends.lock().unwrap().values().sum::<usize>(), STREAMS as usize, "each ends once");
    assert_idle([left, right]).await;
    oracle.probe.until(|visits| visits.started == visits.finished + visits.dropped).await;
    let all = || oracle.inputs.lock().unwrap().len() == oracle.probe.visits().started;
    soon(async {
        while !all() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    oracle.assert_inputs(&plans);
}

fn assert_ends(oracle: &Oracle, expected: &[&str]) {
    let ends = oracle.ends.lock().unwrap();
    for end in expected {
        assert!(ends.get(end).is_some_and(|count| *count > 10), "{end} is among the races: {ends:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_ends_exactly_once_however_its_ends_race() {
    let oracle = Arc::new(Oracle::default());
    let (left, right) = pair(|left| oracle.serve(left), |right| oracle.serve(right)).await;
    run(&left, &right, &oracle, false).await;
    assert_ends(&oracle, &["well", "error", "panic", "deadline", "cancelled", "given up"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_ends_exactly_once_also_when_links_are_lost() {
    let (network, oracle) = (Network::default(), Arc::new(Oracle::default()));
    let serve = |builder| oracle.serve(quick(builder));
    let (left, right) = network.pair(serve, serve).await;
    let cutting = async {
        loop {
            let seen = oracle.probe.visits().started;
            // So seldom that other ends have their share, however slow the machine is.
            oracle.probe.until(|visits| visits.started > seen + 150).await;
            network.cut();
        }
    };
    tokio::select! {
        () = run(&left, &right, &oracle, true) => {}
        () = cutting => unreachable!("it never ends"),
    }
    assert_ends(&oracle, &["well", "error", "panic", "deadline", "disconnected", "given up"]);
}

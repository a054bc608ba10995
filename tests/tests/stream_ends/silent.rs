//! Remotes that live on, and of which nothing is heard any more on the one stream: scripted ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use grid::CallError;
use grid_tests::memory::{settle, within};
use grid_tests::mesh::only;
use grid_tests::probe::Visits;
use grid_tests::raw::{Frame, RawPeer, op};
use grid_tests::streams::{CAPS_CREDITS, Read, assert_idle, credits, frame, granting, item, items, scripted};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::cell::Outcome;
use crate::matrix::WINDOWS;
use crate::stage::{ACT, Blocked, Ending, FEW, Stage, reader, sender};

const MUX: u64 = 77;

/// The scripted end of a stream.
struct Script {
    peer: RawPeer,
    mux: u64,
    seq: u32,
    item: u8,
    credit: u8,
    sent: usize,
    received: usize,
    /// Items that may be sent.
    credits: usize,
}

impl Script {
    fn handler(peer: RawPeer, mux: u64, credits: usize) -> Self {
        let (item, credit) = (op::MUX_SERVER_MSG, op::UNBLOCK_CL_MUX);
        Self { peer, mux, seq: 1, item, credit, sent: 0, received: 0, credits }
    }

    fn caller(peer: RawPeer, credits: usize) -> Self {
        let (item, credit) = (op::MUX_CLIENT_MSG, op::UNBLOCK_SRV_MUX);
        Self { peer, mux: MUX, seq: 1, item, credit, sent: 0, received: 0, credits }
    }

    async fn send(&mut self, op: u8, of: impl FnOnce(Frame) -> Frame) {
        self.peer.send(&of(frame(op, self.mux, self.seq))).await;
        self.seq += 1;
    }

    /// Sends and receives so many items. What was received gives its credit back, or does not.
    async fn exchange(&mut self, to_send: usize, to_receive: usize, gives_back: bool) {
        loop {
            while self.sent < to_send && self.credits > 0 {
                let number = self.sent;
                self.send(self.item, |frame| frame.payload(item(number))).await;
                self.credits -= 1;
                self.sent += 1;
            }
            if self.sent == to_send && self.received == to_receive {
                break;
            }
            let frame = self.peer.recv().await;
            self.take(&frame, gives_back).await;
        }
        settle().await;
        for frame in self.peer.recv_to_fence().await {
            assert!(credits(&frame).is_some(), "no more items come than there are credits for: {frame:?}");
        }
    }

    async fn take(&mut self, frame: &Frame, gives_back: bool) {
        assert_eq!(frame.mux, self.mux);
        match frame.op {
            op::MUX_CLIENT_MSG | op::MUX_SERVER_MSG => {
                assert_eq!(frame.payload, item(self.received));
                self.received += 1;
                if gives_back {
                    self.send(self.credit, |frame| granting(frame, 1)).await;
                }
            }
            _ => self.credits += usize::try_from(credits(frame).expect("credits")).expect("it fits"),
        }
    }
}

fn count(blocked: bool, window: u32) -> usize {
    if blocked { usize::try_from(window).expect("it fits") } else { FEW }
}

/// A caller whose remote answers its pings no more.
async fn handler_cell(blocked: Blocked, window: u32) -> Outcome {
    let (node, mut peer) = scripted(Some(CAPS_CREDITS), |builder| builder).await;
    let call = tokio::spawn(only(&node).stream(ACT, window, "").into_future());
    let opening = peer.recv().await;
    assert_eq!((opening.op, credits(&opening)), (op::CONNECT_MUX, Some(window.into())));
    peer.send(&granting(frame(op::ACK_MUX, opening.mux, 0), count(true, window))).await;
    let (outbound, inbound) = within(call).await.expect("no panic").expect("it opens");
    let opened = Instant::now();

    let (sent, over) = (Arc::new(AtomicUsize::new(0)), watch::Sender::new(false));
    let sender = sender(outbound, blocked.inbound, &sent, over.subscribe());
    let reader = reader(inbound, blocked.outbound, over.subscribe());
    let mut script = Script::handler(peer, opening.mux, count(true, window));
    let (to_send, to_receive) = (count(blocked.outbound, window), count(blocked.inbound, window));
    script.exchange(to_send, to_receive, !blocked.inbound).await;

    loop {
        let frame = script.peer.recv().await;
        if frame.op == op::DISCONNECT_SERVER_MUX {
            break;
        }
        assert_eq!((frame.op, frame.mux), (op::PING, opening.mux), "blocked or not, it asks whether the remote lives");
    }
    let took = opened.elapsed().as_secs();
    assert!((30..=31).contains(&took), "given up after {took} s");
    settle().await;
    over.send_replace(true);
    let read = within(reader).await.expect("no panic");
    assert_eq!(read.items, items(0..to_send));
    match read.error {
        Some(CallError::Refused(refusal)) => assert_eq!(refusal.message(), "remote disconnected"),
        other => panic!("told {other:?}"),
    }
    within(sender).await.expect("no panic");
    assert_eq!(sent.load(Ordering::SeqCst), to_receive);
    assert_idle([&node]).await;
    Outcome { items: Some(to_send), told: "refused".to_owned(), handler: "not heard" }
}

/// A handler whose caller neither pings nor says anything else any more.
async fn caller_cell(blocked: Blocked, window: u32) -> Outcome {
    let stage = Stage::new(blocked, Ending::Never);
    let (node, mut peer) = scripted(Some(CAPS_CREDITS), |builder| stage.serve(builder, window)).await;
    let opened = Instant::now();
    let opening = Frame { handler: ACT.into(), ..Frame::new(op::CONNECT_MUX, MUX) };
    peer.send(&granting(opening, count(true, window))).await;
    let acknowledged = peer.recv().await;
    assert_eq!((acknowledged.op, credits(&acknowledged)), (op::ACK_MUX, Some(window.into())));
    let mut script = Script::caller(peer, count(true, window));
    let (to_send, to_receive) = (count(blocked.inbound, window), count(blocked.outbound, window));
    script.exchange(to_send, to_receive, !blocked.outbound).await;

    sleep(Duration::from_secs(50)).await;
    assert_eq!(stage.probe().visits().dropped, 0);
    assert_eq!(script.peer.recv().await.op, op::DISCONNECT_CLIENT_MUX);
    let took = opened.elapsed().as_secs();
    assert!((60..=61).contains(&took), "given up after {took} s");
    settle().await;
    stage.set_over();
    assert_eq!(stage.probe().visits(), Visits { started: 1, finished: 0, dropped: 1 });
    let tasks = stage.tasks();
    within(tasks.sender).await.expect("no panic");
    assert_eq!(stage.sent(), to_receive);
    let read = within(tasks.reader.expect("it was given away")).await;
    assert_eq!(read, Read::of(to_send, CallError::Cancelled));
    settle().await;
    script.peer.fence().await;
    assert_idle([&node]).await;
    Outcome { items: None, told: "not heard".to_owned(), handler: "dropped" }
}

pub(crate) async fn handler_row() -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for window in WINDOWS {
        for blocked in Blocked::WAYS {
            eprintln!("a handler that is not heard any more, {blocked:?}, window {window}");
            outcomes.push(within(handler_cell(blocked, window)).await);
        }
    }
    outcomes
}

pub(crate) async fn caller_row() -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for window in WINDOWS {
        for blocked in Blocked::WAYS {
            eprintln!("a caller that is not heard any more, {blocked:?}, window {window}");
            outcomes.push(within(caller_cell(blocked, window)).await);
        }
    }
    outcomes
}

#[tokio::test(start_paused = true)]
async fn a_handler_is_not_heard_any_more() {
    handler_row().await;
}

#[tokio::test(start_paused = true)]
async fn a_caller_is_not_heard_any_more() {
    caller_row().await;
}

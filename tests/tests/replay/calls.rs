//! Conversations about calls.

use std::time::Duration;

use bytes::Bytes;
use grid::{CallError, RemoteError};
use grid_tests::capture::{Capture, Conversation, Direction};
use grid_tests::raw::{Frame, GATE, RawPeer, Visit, op, subroute_id, within};
use tokio::task::JoinHandle;

use crate::stage::{Ids, PARTS, Stage, assert_same, start, tell};

type Outcome = Result<Bytes, CallError<RemoteError>>;

#[tokio::test]
async fn single_requests_are_made_and_answered_as_go_nodes_do() {
    let mut replayed = Vec::new();
    for capture in [Capture::plain(), Capture::tls()] {
        let singles =
            capture.conversations.iter().filter(|known| known.name.starts_with("single") || known.name == "merged");
        for conversation in singles {
            for part in PARTS {
                replayed.push(start(&capture, conversation, part));
                let stage = Stage::new(&capture, conversation, part).await;
                match part {
                    Direction::FromClient => as_client(&stage, conversation).await,
                    Direction::FromServer => as_server(&stage, conversation).await,
                }
            }
        }
    }
    tell(&replayed, 2 * 2 * 2 * (14 + 1));
}

#[tokio::test]
async fn a_lost_link_ends_the_call_and_its_late_answer_meets_nobody() {
    let mut replayed = Vec::new();
    for capture in [Capture::plain(), Capture::tls()] {
        for conversation in capture.conversations.iter().filter(|known| known.name == "disconnect") {
            for part in PARTS {
                replayed.push(start(&capture, conversation, part));
                let stage = Stage::new(&capture, conversation, part).await;
                match part {
                    Direction::FromClient => cut_as_client(&stage, conversation).await,
                    Direction::FromServer => cut_as_server(&stage, conversation).await,
                }
            }
        }
    }
    tell(&replayed, 2 * 2 * 2);
}

/// The node calls, the script answers.
async fn as_client(stage: &Stage, conversation: &Conversation) {
    let mut peer = stage.link().await;
    let captured = conversation.frames(Direction::FromClient);
    let calls: Vec<_> = captured.iter().map(|request| (request.payload.clone(), call(stage, request))).collect();
    let sent = recv_some(&mut peer, captured.len()).await;
    assert_same(sent.clone(), captured.clone(), Ids::OfTheNode);
    if conversation.name == "single_cancelled" {
        for (_, call) in calls {
            call.abort();
            assert!(call.await.expect_err("it was dropped").is_cancelled());
        }
        // A v1 peer is not told.
        peer.fence().await;
        answer(&mut peer, conversation, &captured, &sent).await;
        return peer.fence().await;
    }
    answer(&mut peer, conversation, &captured, &sent).await;
    for (payload, call) in calls {
        let outcome = within("the end of the call", call).await.expect("it does not panic");
        assert_outcome(&outcome, conversation, &payload);
    }
    peer.fence().await;
}

/// Says what the Go server said, to the calls that the node made.
async fn answer(peer: &mut RawPeer, conversation: &Conversation, captured: &[Frame], sent: &[Frame]) {
    let id_of = |mux: u64| {
        let request = captured.iter().find(|request| request.mux == mux).expect("it was asked for");
        sent.iter().find(|sent| sent.payload == request.payload).expect("the node has asked for it too").mux
    };
    for said in conversation.said().filter(|said| said.by == Direction::FromServer) {
        let frames: Vec<_> = said.frames.into_iter().map(|frame| Frame { mux: id_of(frame.mux), ..frame }).collect();
        match frames.as_slice() {
            [only] => peer.send(only).await,
            several => peer.send_merged(several).await,
        }
    }
}

/// The script calls with the very bytes of the Go client, the node answers.
async fn as_server(stage: &Stage, conversation: &Conversation) {
    let mut peer = stage.link().await;
    for said in conversation.said().filter(|said| said.by == Direction::FromClient) {
        match conversation.name.as_str() {
            "single_subroute" => peer.send(&shortened(&said.frames[0])).await,
            _ => peer.send_message(&said.bytes).await,
        }
    }
    match conversation.name.as_str() {
        "single_deadline_exceeded" => {
            stage.gate.expect(Visit::Started, "300").await;
            // At its deadline.
            stage.gate.expect(Visit::Dropped, "300").await;
        }
        "single_cancelled" => {
            stage.gate.expect(Visit::Started, "300").await;
            stage.gate.let_through(1);
        }
        _ => {}
    }
    let mut captured = conversation.frames(Direction::FromServer);
    if conversation.name == "single_subroute" {
        captured = captured.iter().map(shortened).collect();
    }
    let sent = recv_some(&mut peer, captured.len()).await;
    assert_same(sent, captured, Ids::OfTheCapture);
    peer.fence().await;
}

/// Raw handlers have no subroutes, and generated ones take msgpack: one byte of text is both.
fn shortened(frame: &Frame) -> Frame {
    assert_eq!(frame.payload, b"sub");
    frame.clone().payload("s")
}

/// The part of the captured disconnection that is a single request.
async fn cut_as_client(stage: &Stage, conversation: &Conversation) {
    let captured: Vec<_> = singles(conversation, Direction::FromClient);
    let mut peer = stage.link().await;
    let call = call(stage, &captured[0]);
    let sent = recv_some(&mut peer, 1).await;
    assert_same(sent.clone(), captured, Ids::OfTheNode);
    drop(peer);
    let outcome = within("the end of the call", call).await.expect("it does not panic");
    assert_eq!(outcome, Err(CallError::Disconnected(stage.script.name.as_str().into())));

    let mut peer = stage.link().await;
    for late in singles(conversation, Direction::FromServer) {
        peer.send(&Frame { mux: sent[0].mux, ..late }).await;
    }
    peer.fence().await;
}

/// Unlike a Go node, which lets single requests run on and answers on the next link, grid drops their handlers.
async fn cut_as_server(stage: &Stage, conversation: &Conversation) {
    let mut peer = stage.link().await;
    for request in singles(conversation, Direction::FromClient) {
        assert_eq!(request.handler, GATE);
        peer.send(&request).await;
    }
    stage.gate.expect(Visit::Started, "400").await;
    drop(peer);
    stage.gate.expect(Visit::Dropped, "400").await;
    stage.link().await.fence().await;
}

fn singles(conversation: &Conversation, by: Direction) -> Vec<Frame> {
    let mut frames = conversation.frames(by);
    frames.retain(|frame| [op::REQUEST, op::RESPONSE].contains(&frame.op));
    assert_eq!(frames.len(), 1);
    frames
}

async fn recv_some(peer: &mut RawPeer, frames: usize) -> Vec<Frame> {
    let mut received = Vec::new();
    while received.len() < frames {
        received.push(peer.recv().await);
    }
    received
}

/// Makes the call that the Go client made.
pub(crate) fn call(stage: &Stage, request: &Frame) -> JoinHandle<Outcome> {
    let routes = ["a/b", "nope"];
    let route = request.subroute.map(|id| {
        let known = |route: &&&str| subroute_id(request.handler, route) == id;
        *routes.iter().find(known).expect("a route of the capture")
    });
    let timeout = match request.deadline_ms {
        // What it is without a deadline.
        60_000 => None,
        some => Some(Duration::from_millis(u64::from(some).next_multiple_of(10))),
    };
    let handler = u8::try_from(request.handler).expect("a handler of v1");
    let (connection, payload) = (stage.connection(), request.payload.clone());
    tokio::spawn(async move {
        let connection = route.map_or(connection.clone(), |route| connection.subroute(route));
        let call = connection.single(handler, payload);
        match timeout {
            Some(timeout) => call.timeout(timeout).await,
            None => call.await,
        }
    })
}

/// What a Go caller saw, in the words of grid.
fn assert_outcome(outcome: &Outcome, conversation: &Conversation, payload: &[u8]) {
    let quoted = |text: &str| serde_json::from_str::<String>(text).expect("a quoted text");
    let wanted = &conversation.client_result;
    if conversation.name == "merged" {
        assert_eq!(wanted, "30 done");
        assert_eq!(*outcome, Ok(Bytes::copy_from_slice(payload)));
    } else if let Some(text) = wanted.strip_prefix("error grid.RemoteErr ") {
        assert_eq!(*outcome, Err(CallError::Remote(RemoteError::new(quoted(text)))));
    } else if let Some(text) = wanted.strip_prefix("error *grid.RemoteErr ") {
        let Err(CallError::Refused(refusal)) = outcome else { panic!("{outcome:?} instead of a refusal") };
        assert_eq!(refusal.message(), quoted(text));
        assert_eq!(refusal.reason(), grid::RefusalReason::Unspecified);
    } else if wanted.starts_with("error context.deadlineExceededError") {
        assert_eq!(*outcome, Err(CallError::DeadlineExceeded));
    } else {
        let text = if wanted == "nil" { String::new() } else { quoted(wanted) };
        assert_eq!(*outcome, Ok(Bytes::from(text)));
    }
}

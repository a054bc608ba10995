//! Conversations about streams.
//!
//! The node sends what the Go node in its place sent, frame by frame and in the same order; into which messages frames
//! are merged is not looked at. It departs from the captures in these ways, which are checked, and in no other.
//!
//! As the caller:
//! - It has a stream when the remote has answered to the opening. Where a Go client had said before that its items have
//!   ended (`stream_unknown_subroute`), it says nothing.
//! - When it gives a call up, or the deadline passes, it sends one `DisconnectServerMux`, with number 0. A Go client
//!   sends in about half of the cases another one before, with the next number.
//! - It says nothing to frames of calls that have ended, where a Go client sends `DisconnectClientMux`
//!   (`stream_cancelled_oneway`).
//! - Of bytes there is no nil: an empty opening goes out as none (`stream_request_only_0`), and a nil item as an empty
//!   one (`stream_input_kinds`).
//! - A nil item that comes is an empty one, which is counted and whose credit goes back, where a Go client loses count
//!   or stalls (`stream_nil_message_*`).
//!
//! As the one who is called:
//! - What it has under a subroute answers in msgpack (`stream_subroute`).
//! - Where a Go handler sent a nil item, it sends an empty one, and where that one told that an input was nil, it tells
//!   that it was empty.
//! - An item whose credit comes in one message with the cancellation is not sent any more (`stream_cancelled_oneway`).
//! - A credit does not go back to a caller whose items have ended (`stream_twoway_cap1_3_fast`).
//!
//! As either, it sends nothing of an old link on the next one (`disconnect`).

use bytes::Bytes;
use grid::{CallError, SendError};
use grid_tests::capture::{Capture, Conversation, Direction};
use grid_tests::raw::{Frame, Visit, op, within};

use crate::calls::call;
use crate::stage::{Ids, PARTS, Stage, assert_next, start, tell};
use crate::stream_caller::{self, Caller, Then};
use crate::stream_handler;

/// The conversations of both files with these names.
fn of(names: impl Fn(&str) -> bool) -> Vec<(Capture, Conversation)> {
    let mut found = Vec::new();
    for capture in [Capture::plain(), Capture::tls()] {
        let known = capture.conversations.iter().filter(|known| names(&known.name)).cloned();
        found.extend(known.map(|conversation| (capture.clone(), conversation)));
    }
    found
}

fn is_stream(name: &str) -> bool {
    name.starts_with("stream_")
}

fn has_nil(name: &str) -> bool {
    name.starts_with("stream_nil_message_")
}

fn is_ping(name: &str) -> bool {
    ["ping_pong_mux", "ping_pong_mux_blocked"].contains(&name)
}

#[tokio::test]
async fn streams_are_called_as_by_go_nodes() {
    let mut replayed = Vec::new();
    for (capture, conversation) in of(|name| is_stream(name) && !has_nil(name)) {
        replayed.push(start(&capture, &conversation, Direction::FromClient));
        let stage = Stage::new(&capture, &conversation, Direction::FromClient).await;
        stream_caller::play(&stage, &conversation).await;
    }
    tell(&replayed, 2 * 2 * 17);
}

#[tokio::test]
async fn streams_are_served_as_by_go_nodes() {
    let mut replayed = Vec::new();
    for (capture, conversation) in of(is_stream) {
        replayed.push(start(&capture, &conversation, Direction::FromServer));
        let stage = Stage::new(&capture, &conversation, Direction::FromServer).await;
        stream_handler::play(&stage, &conversation).await;
    }
    tell(&replayed, 2 * 2 * 19);
}

#[tokio::test]
async fn a_nil_item_is_an_empty_one_and_keeps_no_stream_from_its_end() {
    let mut replayed = Vec::new();
    for (capture, conversation) in of(has_nil) {
        replayed.push(start(&capture, &conversation, Direction::FromClient));
        let stage = Stage::new(&capture, &conversation, Direction::FromClient).await;
        stream_caller::play_nil(&stage, &conversation, Then::TheRest).await;
        if conversation.name == "stream_nil_message_stall" {
            let stage = Stage::new(&capture, &conversation, Direction::FromClient).await;
            stream_caller::play_nil(&stage, &conversation, Then::AsCaptured).await;
        }
    }
    tell(&replayed, 2 * 2 * 2);
}

#[tokio::test]
async fn pings_and_pongs_of_streams_are_those_of_go_nodes() {
    let mut replayed = Vec::new();
    for part in PARTS {
        for (capture, conversation) in of(is_ping) {
            replayed.push(start(&capture, &conversation, part));
            let stage = Stage::new(&capture, &conversation, part).await;
            match part {
                Direction::FromClient => stream_caller::play(&stage, &conversation).await,
                Direction::FromServer => stream_handler::play(&stage, &conversation).await,
            }
        }
    }
    tell(&replayed, 2 * 2);
}

#[tokio::test]
async fn a_lost_link_ends_its_streams_and_nothing_of_them_goes_over_the_next() {
    let mut replayed = Vec::new();
    for part in PARTS {
        for (capture, conversation) in of(|name| name == "disconnect") {
            replayed.push(start(&capture, &conversation, part));
            let stage = Stage::new(&capture, &conversation, part).await;
            match part {
                Direction::FromClient => cut_as_client(&stage, &conversation).await,
                Direction::FromServer => cut_as_server(&stage, &conversation).await,
            }
        }
    }
    tell(&replayed, 2 * 2 * 2);
}

/// The frames of one side before and after the cut, which comes once the first item was read.
fn around_the_cut(conversation: &Conversation, by: Direction) -> [Vec<Frame>; 2] {
    let frames = conversation.frames(by);
    let handshake = frames.iter().position(|frame| frame.mux == 0).expect("there was a second link");
    let (before, after) = frames.split_at(handshake);
    let after = after.iter().filter(|frame| frame.mux != 0).cloned().collect();
    [before.to_vec(), after]
}

async fn cut_as_client(stage: &Stage, conversation: &Conversation) {
    let [said, _] = around_the_cut(conversation, Direction::FromClient);
    let [heard, late] = around_the_cut(conversation, Direction::FromServer);
    let [connect, request, unblock] = said.try_into().expect("a stream, a single request, and an item that was read");
    let mut caller = Caller::new(stage, conversation).await;
    caller.say(connect.clone()).await;
    let single = call(stage, &request);
    let sent = caller.peer.recv().await;
    let single_mux = sent.mux;
    assert_next(sent, request, Ids::OfTheNode);
    caller.hear(&heard).await;
    caller.say(unblock).await;

    let Caller { peer, mux, outbound, inbound, .. } = caller;
    drop(peer);
    let lost = || CallError::Disconnected(stage.script.name.as_str().into());
    let (outbound, mut inbound) = (outbound.expect("it is open"), inbound.expect("it is open"));
    assert_eq!(within("the end of the stream", inbound.next()).await, Some(Err(lost())));
    assert_eq!(within("the end", inbound.next()).await, None);
    assert_eq!(within("a refusal", outbound.send(Bytes::from("x"))).await, Err(SendError::Ended));
    let single = within("the end of the call", single).await.expect("it does not panic");
    assert_eq!(single, Err(lost()));

    let mut peer = stage.link().await;
    for frame in late {
        let mux = if frame.mux == connect.mux { mux } else { single_mux };
        peer.send(&Frame { mux, ..frame }).await;
    }
    peer.fence().await;
    stage.idle().await;
}

async fn cut_as_server(stage: &Stage, conversation: &Conversation) {
    let [_, late] = around_the_cut(conversation, Direction::FromClient);
    let [said, _] = around_the_cut(conversation, Direction::FromServer);
    let mut peer = stage.link().await;
    let heard: Vec<_> = conversation.about_calls().filter(|said| said.by == Direction::FromClient).take(2).collect();
    assert!(heard[0].frames[0].op == op::CONNECT_MUX && heard[1].frames[0].op == op::UNBLOCK_SRV_MUX);
    peer.send_message(&heard[0].bytes).await;
    for captured in said {
        assert_next(peer.recv().await, captured, Ids::OfTheCapture);
    }
    peer.send_message(&heard[1].bytes).await;
    peer.fence().await;
    let mut visits = [stage.gate.next().await, stage.gate.next().await];
    visits.sort_by_key(|(_, payload)| payload.clone());
    assert_eq!(visits, [(Visit::Started, "".into()), (Visit::Started, "400".into())]);
    drop(peer);
    let mut visits = [stage.gate.next().await, stage.gate.next().await];
    visits.sort_by_key(|(_, payload)| payload.clone());
    assert_eq!(visits, [(Visit::Dropped, "".into()), (Visit::Dropped, "400".into())]);

    let mut peer = stage.link().await;
    for frame in late {
        peer.send(&frame).await;
    }
    peer.fence().await;
    stage.idle().await;
}

//! The node serves, the script calls with the very bytes of the Go client.

use std::time::Duration;

use grid_tests::capture::{Conversation, Direction, Said};
use grid_tests::raw::{Frame, Visit, flag, let_pass, op};

use crate::stage::{Ids, Stage, assert_next};

/// What the client has said so far.
#[derive(Debug, Default)]
struct Heard {
    /// Its items have ended.
    finished: bool,
    /// It has given the call up.
    cancelled: bool,
}

impl Heard {
    fn hear(&mut self, said: &Said) {
        for frame in &said.frames {
            self.finished |= frame.op == op::MUX_CLIENT_MSG && frame.flags & flag::EOF != 0;
            self.cancelled |= frame.op == op::DISCONNECT_SERVER_MUX;
        }
    }
}

/// Plays a conversation in its order: what the client says is sent as it is, and what the server says is what the node
/// sends next.
pub(crate) async fn play(stage: &Stage, conversation: &Conversation) {
    let mut peer = stage.link().await;
    let opening = conversation.about_calls().next().expect("a client begins").frames[0].clone();
    let mut heard = Heard::default();
    // Frames that a Go server sends and a grid node does not: their numbers go to those after them.
    let mut left_out = 0;
    for said in conversation.about_calls() {
        if said.by == Direction::FromClient {
            heard.hear(&said);
            peer.send_message(&said.bytes).await;
            continue;
        }
        let is_lone = said.frames.len() == 1 && said.frames[0].op == op::DISCONNECT_CLIENT_MUX;
        if is_lone && !heard.cancelled {
            let_pass(Duration::from_millis(opening.deadline_ms.into())).await;
        }
        for captured in said.frames {
            let Some(captured) = of_grid(conversation, captured, &heard) else {
                left_out += 1;
                continue;
            };
            let is_numbered = [op::MUX_SERVER_MSG, op::UNBLOCK_CL_MUX].contains(&captured.op);
            let seq = captured.seq - if is_numbered { left_out } else { 0 };
            assert_next(peer.recv().await, Frame { seq, ..captured }, Ids::OfTheCapture);
        }
    }
    peer.fence().await;
    if opening.handler == ENDLESS {
        stage.gate.expect(Visit::Started, "").await;
        stage.gate.expect(Visit::Dropped, "").await;
    }
    stage.idle().await;
}

/// What a grid node sends where a Go server sent this.
fn of_grid(conversation: &Conversation, captured: Frame, heard: &Heard) -> Option<Frame> {
    let is_item = captured.op == op::MUX_SERVER_MSG && captured.flags & flag::EOF == 0;
    if captured.op == op::UNBLOCK_CL_MUX && heard.finished || is_item && heard.cancelled {
        return None;
    }
    match &*conversation.name {
        "stream_subroute" if is_item => {
            let both = [&[0x92], captured.payload.as_slice()].concat();
            Some(captured.payload(both))
        }
        "stream_input_kinds" if captured.payload == b"nil" => Some(captured.payload("empty")),
        name if name.starts_with("stream_nil_message") && is_item && captured.payload.is_empty() => {
            Some(captured.flags(flag::ZERO))
        }
        _ => Some(captured),
    }
}

/// Says that it has started, and never ends.
const ENDLESS: u32 = 24;

//! Frames for calls that are not there, and frames that mean nothing.

use grid::{CallError, LinkError};
use grid_tests::raw::{ECHO, Frame, RawPeer, Rig, SIDES, flag, map, op, time, zero_time};
use rmpv::Value;

const STRANGERS: [u64; 5] = [0, 1, 77, 1 << 40, u64::MAX];

/// Sends each frame, for ids that name no call. The node says nothing and keeps the link.
async fn ignored(caps: Option<u64>, frames: impl Fn(u64) -> Vec<Frame>) {
    for side in SIDES {
        let rig = Rig::with(side, caps, |builder| builder).await;
        let mut peer = rig.link().await;
        // Also while there is a call, whose id is another one.
        let call = rig.call(1, "");
        let request = peer.recv().await;
        for mux in STRANGERS.into_iter().chain([request.mux ^ (1 << 30), request.mux.wrapping_add(1)]) {
            for frame in frames(mux) {
                eprintln!("{frame:?}");
                peer.send(&frame).await;
                peer.fence().await;
            }
        }
        peer.send(&Frame::response(request.mux, "yes")).await;
        assert_eq!(call.await.unwrap().unwrap(), "yes");
        rig.finish().await;
    }
}

/// All that a server can say about a call.
fn of_servers(mux: u64) -> Vec<Frame> {
    vec![
        Frame::response(mux, "x"),
        Frame::response(mux, "").flags(flag::ZERO),
        Frame::response(mux, "x").flags(flag::ERROR),
        Frame { seq: 1, ..Frame::response(mux, "x") },
        Frame::new(op::ACK_MUX, mux),
        Frame::new(op::ACK_MUX, mux).flags(flag::EOF),
        Frame::new(op::MUX_SERVER_MSG, mux).payload("x"),
        Frame { seq: 3, ..Frame::new(op::MUX_SERVER_MSG, mux).payload("x") },
        Frame::new(op::MUX_SERVER_MSG, mux).flags(flag::EOF),
        Frame::new(op::MUX_SERVER_MSG, mux).flags(flag::EOF | flag::ERROR).payload("x"),
        Frame::new(op::UNBLOCK_CL_MUX, mux),
        Frame::new(op::DISCONNECT_CLIENT_MUX, mux),
        Frame::new(op::DISCONNECT_CLIENT_MUX, mux).flags(flag::ERROR).payload("x"),
        Frame::refusal(mux, "x"),
        Frame::new(op::MUX_CONNECT_ERROR, mux).payload("\u{1}"),
        pong(mux),
    ]
}

/// All that a client can say about a call of its own and needs no answer.
fn of_clients(mux: u64) -> Vec<Frame> {
    vec![
        Frame::new(op::UNBLOCK_SRV_MUX, mux),
        Frame::new(op::DISCONNECT_SERVER_MUX, mux),
        Frame { seq: 2, ..Frame::new(op::DISCONNECT_SERVER_MUX, mux) },
        Frame::new(op::DISCONNECT_SERVER_MUX, mux).flags(flag::ERROR).payload("x"),
    ]
}

fn pong(mux: u64) -> Frame {
    Frame::new(op::PONG, mux).payload(map([("nf", false.into()), ("e", Value::Nil), ("t", time(1))]))
}

#[tokio::test]
async fn what_a_server_says_about_unknown_calls_is_ignored() {
    for caps in [None, Some(15)] {
        ignored(caps, of_servers).await;
    }
}

#[tokio::test]
async fn what_a_client_says_about_unknown_calls_is_ignored() {
    for caps in [None, Some(15)] {
        ignored(caps, of_clients).await;
    }
}

#[tokio::test]
async fn unknown_ops_and_those_of_the_handshake_are_ignored() {
    let meaningless = |mux| {
        let ops = [0, 1, 2, 18, 19, 127, 128, 255].map(|op| Frame::new(op, mux).payload("\u{1}x"));
        ops.into_iter().chain(ops_with_all_flags(mux)).collect()
    };
    ignored(None, meaningless).await;
    ignored(Some(15), |mux| [0, 1, 2, 18, 255].map(|op| Frame::new(op, mux)).to_vec()).await;
    // Leaving is something that only those with the capability can announce.
    ignored(None, |mux| vec![Frame::new(op::DISCONNECT, mux).payload("bye")]).await;
}

fn ops_with_all_flags(mux: u64) -> [Frame; 2] {
    let flags = flag::EOF | flag::STATELESS | flag::ERROR | flag::ZERO | 0x80;
    [0, 200].map(|op| Frame { seq: u32::MAX, deadline_ms: u32::MAX, handler: 255, ..Frame::new(op, mux) }.flags(flags))
}

#[tokio::test]
async fn unreadable_pings_and_pongs_are_ignored() {
    let unreadable = |mux| {
        let payloads: [&[u8]; 5] = [b"\xc1", b"\x81", b"\x81\x01\x02", b"\x81\xa1t\xa1x", b"\xa1x"];
        let frames = payloads.map(|payload| [op::PING, op::PONG].map(|op| Frame::new(op, mux).payload(payload)));
        let mut frames = frames.concat();
        // What a ping of a call holds is not looked at.
        frames.retain(|frame| frame.op == op::PONG || mux == 0);
        frames.push(Frame::new(op::PONG, mux));
        frames.push(Frame::new(op::PONG, mux).payload([0x80]));
        frames
    };
    ignored(None, unreadable).await;
}

async fn says(peer: &mut RawPeer, frame: Frame, answer: Frame) {
    peer.send(&frame).await;
    assert_eq!(peer.recv().await, answer);
}

#[tokio::test]
async fn input_for_an_unknown_stream_is_answered_with_its_end() {
    for side in SIDES {
        let rig = Rig::new(side).await;
        let mut peer = rig.link().await;
        for mux in STRANGERS {
            let end = Frame::new(op::DISCONNECT_CLIENT_MUX, mux);
            let input = Frame { seq: 5, ..Frame::new(op::MUX_CLIENT_MSG, mux) };
            says(&mut peer, input.clone().payload("x"), end.clone()).await;
            says(&mut peer, input.clone(), end.clone()).await;
            says(&mut peer, input.flags(flag::EOF), end).await;
        }
        peer.fence().await;
        rig.finish().await;
    }
}

#[tokio::test]
async fn a_ping_of_a_call_is_answered_with_not_found() {
    for side in SIDES {
        let rig = Rig::new(side).await;
        let mut peer = rig.link().await;
        let call = rig.call(1, "");
        let own = peer.recv().await.mux;
        let body = map([("nf", true.into()), ("e", Value::Nil), ("t", zero_time())]);
        for mux in STRANGERS.into_iter().skip(1).chain([own]) {
            let ping = Frame { seq: 3, ..Frame::new(op::PING, mux) };
            let pong = Frame { op: op::PONG, ..ping.clone() }.payload(&body);
            says(&mut peer, ping, pong).await;
        }
        // One without a body is of the link all the same.
        let body = map([("nf", false.into()), ("e", Value::Nil), ("t", zero_time())]);
        says(&mut peer, Frame::new(op::PING, 0), Frame::new(op::PONG, 0).payload(body)).await;
        peer.send(&Frame::response(own, "yes")).await;
        assert_eq!(call.await.unwrap().unwrap(), "yes");
        rig.finish().await;
    }
}

#[tokio::test]
async fn a_stream_is_refused_as_unknown_and_a_stateless_one_as_such() {
    for side in SIDES {
        let rig = Rig::new(side).await;
        let mut peer = rig.link().await;
        let open = |handler| Frame { handler, deadline_ms: 700, ..Frame::new(op::CONNECT_MUX, 5).payload("x") };
        let refused = |open: &Frame, text: &str| {
            let refusal = Frame { op: op::MUX_CONNECT_ERROR, subroute: None, ..open.clone() };
            let flags = refusal.flags & !flag::SUBROUTE;
            Frame { flags, ..refusal }.payload(map([("Error", text.into())]))
        };
        for handler in [50, 79, ECHO] {
            let text = format!("Invalid Handler for type: {handler}");
            says(&mut peer, open(handler), refused(&open(handler), &text)).await;
        }
        for handler in [0, 80, 255] {
            says(&mut peer, open(handler), refused(&open(handler), "Invalid Handler")).await;
        }
        let stateless = open(50).flags(flag::STATELESS);
        says(&mut peer, stateless.clone(), refused(&stateless, "Stateless streams not supported")).await;
        let under = open(31).under("nope");
        peer.send(&under).await;
        let answer = peer.recv().await;
        assert!(answer.error_text().starts_with("Invalid Handler for type: [31 0 4 170 "), "{answer:?}");
        assert_eq!(answer, refused(&under, &answer.error_text()));
        peer.fence().await;
        rig.finish().await;
    }
}

#[tokio::test]
async fn an_answer_that_comes_after_the_link_was_renewed_meets_nobody() {
    for side in SIDES {
        let rig = Rig::new(side).await;
        let mut peer = rig.link().await;
        let first = rig.call(1, "first");
        let old = peer.recv().await.mux;
        drop(peer);
        assert_eq!(first.await.unwrap(), Err(CallError::Disconnected(rig.script.name.as_str().into())));
        assert!(matches!(rig.ended().await, LinkError::Closed(_)));

        let mut peer = rig.link().await;
        let second = rig.call(1, "second");
        let new = peer.recv().await.mux;
        assert_ne!(old, new);
        for late in of_servers(old) {
            peer.send(&late).await;
        }
        peer.fence().await;
        peer.send(&Frame::response(new, "second")).await;
        assert_eq!(second.await.unwrap().unwrap(), "second");
        rig.finish().await;
    }
}

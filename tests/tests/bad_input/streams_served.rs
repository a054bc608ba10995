//! Callers of streams that break the rules, and what the node that serves them makes of it.

use grid_tests::raw::{ECHO, Frame, GATE, Visit, counted, flag, map, op};

use crate::streams::{COUNT, ECHO_STREAM, ENDLESS, Kind, SCENES, Scene, credits, numbered, pong};

/// Opens a stream of the peer, and takes what comes first.
async fn open(scene: &mut Scene, handler: u32, payload: &str) {
    let connect = Frame { handler, ..Frame::new(op::CONNECT_MUX, MUX) }.payload(payload);
    scene.peer.send(&connect).await;
    let mut ack = scene.peer.recv().await;
    if handler == COUNT && scene.kind == Kind::Grid {
        // It takes no items.
        assert_eq!(ack.trailer_map(), Some(credits(0)));
        ack = scene.kind.credits(Frame::new(op::ACK_MUX, MUX));
    }
    assert_eq!(ack, scene.kind.credits(Frame::new(op::ACK_MUX, MUX)));
    let first = match handler {
        COUNT => counted(0),
        ENDLESS => "started".into(),
        _ => return,
    };
    assert_eq!(scene.peer.recv().await, numbered(op::MUX_SERVER_MSG, MUX, 1).payload(first));
    if handler == ENDLESS {
        scene.rig.gate.expect(Visit::Started, "").await;
    }
}

fn input(seq: u32) -> Frame {
    numbered(op::MUX_CLIENT_MSG, MUX, seq).payload("x")
}

fn end_of_input(seq: u32) -> Frame {
    numbered(op::MUX_CLIENT_MSG, MUX, seq).flags(flag::EOF)
}

fn unblock(seq: u32) -> Frame {
    numbered(op::UNBLOCK_SRV_MUX, MUX, seq)
}

fn ping(seq: u32) -> Frame {
    numbered(op::PING, MUX, seq)
}

/// What is good, then what breaks the rules, and how that is told.
fn breaches() -> Vec<(u32, Vec<Frame>, Frame, String)> {
    let mismatch = |want: u32, got: u32| format!("receive sequence number mismatch. want {want}, got {got}");
    let unexpected = || "did not expect inbound message".to_owned();
    let mut breaches = Vec::new();
    for frame in [input, end_of_input, unblock, ping] {
        for seq in [0, 2, u32::MAX] {
            breaches.push((ENDLESS, vec![], frame(seq), mismatch(1, seq)));
            breaches.push((COUNT, vec![], frame(seq), mismatch(1, seq)));
        }
        breaches.push((ENDLESS, vec![input(1)], frame(1), mismatch(2, 1)));
        breaches.push((ENDLESS, vec![unblock(1), ping(2), end_of_input(3)], frame(3), mismatch(4, 3)));
    }
    breaches.push((ENDLESS, vec![end_of_input(1)], input(2), unexpected()));
    breaches.push((ENDLESS, vec![input(1), end_of_input(2)], end_of_input(3), unexpected()));
    breaches.push((COUNT, vec![], input(1), unexpected()));
    breaches.push((COUNT, vec![], end_of_input(1), unexpected()));
    breaches.push((ENDLESS, vec![input(1)], input(2), "handler blocked".to_owned()));
    breaches.push((ENDLESS, vec![input(1)], input(2).payload(""), "handler blocked".to_owned()));
    breaches
}

#[tokio::test]
async fn a_caller_that_breaks_the_rules_loses_its_stream_and_no_other() {
    for setup in SCENES {
        let mut scene = Scene::new(setup).await;
        let kind = scene.kind;
        for (handler, good, bad, text) in breaches() {
            eprintln!("{bad:?} behind {good:?} to {handler}: {text}");
            open(&mut scene, handler, if handler == COUNT { "1000" } else { "" }).await;
            for frame in &good {
                scene.peer.send(frame).await;
                if frame.op == op::PING {
                    let answer = numbered(op::PONG, MUX, frame.seq).payload(pong(false, None));
                    assert_eq!(scene.peer.recv().await, answer);
                }
            }
            scene.peer.send(&bad).await;
            if bad.op == op::PING {
                let answer = numbered(op::PONG, MUX, bad.seq).payload(pong(false, Some(&text)));
                assert_eq!(scene.peer.recv().await, answer);
            }
            assert_eq!(scene.peer.recv().await, kind.breach(MUX, 2, &text));
            assert_eq!(scene.peer.recv().await, Frame::new(op::DISCONNECT_CLIENT_MUX, MUX));
            if handler == ENDLESS {
                scene.rig.gate.expect(Visit::Dropped, "").await;
            }
            frames_for_nobody(&mut scene, MUX).await;
            scene.exchange().await;
        }
        scene.finish().await;
    }
}

/// A call with this id has ended, or there was none: the peer is told so, where v1 tells it.
async fn frames_for_nobody(scene: &mut Scene, mux: u64) {
    for frame in [input(1), end_of_input(7), input(0).payload("")] {
        input_for_nobody(scene, &Frame { mux, ..frame }).await;
    }
    scene.peer.send(&Frame { mux, ..ping(9) }).await;
    assert_eq!(scene.peer.recv().await, numbered(op::PONG, mux, 9).payload(pong(true, None)));
    for op in [
        op::UNBLOCK_SRV_MUX,
        op::DISCONNECT_SERVER_MUX,
        op::DISCONNECT_CLIENT_MUX,
        op::MUX_SERVER_MSG,
        op::UNBLOCK_CL_MUX,
        op::ACK_MUX,
        op::PONG,
        op::RESPONSE,
        op::MUX_CONNECT_ERROR,
    ] {
        for seq in [0, 3] {
            scene.peer.send(&numbered(op, mux, seq)).await;
            scene.peer.send(&numbered(op, mux, seq).flags(flag::EOF | flag::ERROR).payload("x")).await;
        }
    }
    scene.peer.fence().await;
}

/// A grid node was told of the end of its call, and is not told of it again for each item that was on its way.
async fn input_for_nobody(scene: &mut Scene, input: &Frame) {
    scene.peer.send(input).await;
    if scene.kind == Kind::V1 {
        assert_eq!(scene.peer.recv().await, Frame::new(op::DISCONNECT_CLIENT_MUX, input.mux));
    }
    scene.peer.fence().await;
}

#[tokio::test]
async fn frames_for_calls_that_were_never_made_are_for_nobody() {
    for setup in SCENES {
        let mut scene = Scene::new(setup).await;
        for mux in [1, MUX, 1 << 24, u64::from(u32::MAX), u64::MAX] {
            frames_for_nobody(&mut scene, mux).await;
            scene.exchange().await;
        }
        scene.finish().await;
    }
}

#[tokio::test]
async fn many_breaches_in_one_message_are_one_end() {
    for setup in SCENES {
        let mut scene = Scene::new(setup).await;
        open(&mut scene, ENDLESS, "").await;
        scene.peer.send_merged(&[input(5), input(5), unblock(9), end_of_input(1), input(2), unblock(3)]).await;
        let text = "receive sequence number mismatch. want 1, got 5";
        let wanted = [scene.kind.breach(MUX, 2, text), Frame::new(op::DISCONNECT_CLIENT_MUX, MUX)];
        let mut told = scene.peer.recv_to_fence().await;
        // v1 says so for each message to a call that it does not know.
        told.dedup();
        assert_eq!(told, wanted);
        scene.rig.gate.expect(Visit::Dropped, "").await;
        scene.finish().await;
    }
}

#[tokio::test]
async fn more_credits_than_there_are_windows_do_no_harm() {
    for setup in SCENES {
        let mut scene = Scene::new(setup).await;
        open(&mut scene, COUNT, "1000").await;
        let mut seqs = 1..;
        let mut unblock = |counted: Option<u32>| {
            let frame = unblock(seqs.next().expect("it does not end"));
            counted.map_or(frame.clone(), |counted| frame.trailer(&credits(counted)))
        };
        match scene.kind {
            // More than the largest window.
            Kind::V1 => {
                for _ in 0..70 {
                    let many: Vec<_> = (0..1000).map(|_| unblock(None)).collect();
                    scene.peer.send_merged(&many).await;
                }
            }
            Kind::Grid => {
                let many: Vec<_> = (0..1000).map(|_| unblock(Some(u32::MAX))).collect();
                scene.peer.send_merged(&many).await;
                scene.peer.send(&unblock(Some(0))).await;
            }
        }
        for number in 1..1000 {
            let item = numbered(op::MUX_SERVER_MSG, MUX, number + 1).payload(counted(number));
            assert_eq!(scene.peer.recv().await, item);
        }
        assert_eq!(scene.peer.recv().await, numbered(op::MUX_SERVER_MSG, MUX, 1001).flags(flag::EOF));
        if scene.kind == Kind::V1 {
            assert_eq!(scene.peer.recv().await, Frame::new(op::DISCONNECT_CLIENT_MUX, MUX));
        }
        scene.finish().await;
    }
}

#[tokio::test]
async fn credits_of_an_opening_are_counted_where_it_says_so() {
    for setup in SCENES.into_iter().filter(|(_, kind)| *kind == Kind::Grid) {
        let mut scene = Scene::new(setup).await;
        for (granted, at_once) in [(0, 0), (2, 2), (u32::MAX, 3)] {
            let connect = Frame { handler: COUNT, ..Frame::new(op::CONNECT_MUX, MUX) }.payload("3");
            scene.peer.send(&connect.trailer(&credits(granted))).await;
            assert_eq!(scene.peer.recv().await, Frame::new(op::ACK_MUX, MUX).trailer(&credits(0)));
            for number in 0..3 {
                if number == at_once {
                    scene.peer.fence().await;
                    scene.peer.send(&unblock(1).trailer(&credits(3))).await;
                }
                let item = numbered(op::MUX_SERVER_MSG, MUX, number + 1).payload(counted(number));
                assert_eq!(scene.peer.recv().await, item);
            }
            // The end needs none.
            assert_eq!(scene.peer.recv().await, numbered(op::MUX_SERVER_MSG, MUX, 4).flags(flag::EOF));
            scene.exchange().await;
        }
        scene.finish().await;
    }
}

#[tokio::test]
async fn a_second_opening_with_the_id_of_a_stream_is_ignored() {
    for setup in SCENES {
        let mut scene = Scene::new(setup).await;
        open(&mut scene, ECHO_STREAM, "first ").await;
        for handler in [ECHO_STREAM, ENDLESS, COUNT, ECHO, 60] {
            for flags in [0, flag::EOF, flag::STATELESS] {
                let connect = Frame { handler, ..Frame::new(op::CONNECT_MUX, MUX) }.payload("second ");
                scene.peer.send(&connect.flags(flags)).await;
                scene.peer.fence().await;
            }
        }
        scene.peer.send(&input(1)).await;
        assert_eq!(scene.peer.recv().await, scene.kind.credits(numbered(op::UNBLOCK_CL_MUX, MUX, 1)));
        assert_eq!(scene.peer.recv().await, numbered(op::MUX_SERVER_MSG, MUX, 2).payload("first x"));
        scene.peer.send(&Frame::new(op::DISCONNECT_SERVER_MUX, MUX)).await;
        if scene.kind == Kind::V1 {
            assert_eq!(scene.peer.recv().await, Frame::new(op::DISCONNECT_CLIENT_MUX, MUX));
        }
        scene.finish().await;
    }
}

#[tokio::test]
async fn calls_of_the_wrong_kind_are_refused() {
    for setup in SCENES {
        let mut scene = Scene::new(setup).await;
        let opening = |handler| Frame { handler, seq: 3, ..Frame::new(op::CONNECT_MUX, MUX) }.payload("x");
        for (call, text, reason) in [
            (opening(ECHO_STREAM).flags(flag::STATELESS), "Stateless streams not supported", 1),
            (opening(ECHO).flags(flag::STATELESS), "Stateless streams not supported", 1),
            (opening(ECHO), "Invalid Handler for type: 10", 1),
            (opening(60).flags(flag::EOF), "Invalid Handler for type: 60", 1),
            (opening(0), "Invalid Handler", 1),
            (Frame::request(MUX, ECHO_STREAM, "x"), "Invalid Handler for type: 20", 1),
        ] {
            scene.peer.send(&call).await;
            let mut refusal = Frame { op: op::MUX_CONNECT_ERROR, ..call }.payload(map([("Error", text.into())]));
            if scene.kind == Kind::Grid {
                refusal = refusal.trailer(&rmpv::Value::Map(vec![(3.into(), reason.into())]));
            }
            assert_eq!(scene.peer.recv().await, refusal);
            frames_for_nobody(&mut scene, MUX).await;
        }
        scene.finish().await;
    }
}

#[tokio::test]
async fn a_stream_with_the_id_zero_is_one_as_any_other() {
    for setup in SCENES {
        let mut scene = Scene::new(setup).await;
        let zero = |frame: Frame| Frame { mux: 0, ..frame };
        let opening = Frame { handler: ECHO_STREAM, ..Frame::new(op::CONNECT_MUX, 0) };
        scene.peer.send(&opening.payload("zero ")).await;
        assert_eq!(scene.peer.recv().await, scene.kind.credits(Frame::new(op::ACK_MUX, 0)));
        scene.peer.send(&zero(input(1))).await;
        assert_eq!(scene.peer.recv().await, scene.kind.credits(numbered(op::UNBLOCK_CL_MUX, 0, 1)));
        assert_eq!(scene.peer.recv().await, numbered(op::MUX_SERVER_MSG, 0, 2).payload("zero x"));
        scene.exchange().await;
        scene.peer.send(&zero(input(3))).await;
        let text = "receive sequence number mismatch. want 2, got 3";
        assert_eq!(scene.peer.recv().await, scene.kind.breach(0, 3, text));
        assert_eq!(scene.peer.recv().await, Frame::new(op::DISCONNECT_CLIENT_MUX, 0));
        scene.finish().await;
    }
}

#[tokio::test]
async fn frames_of_a_stream_do_nothing_to_a_single_request_of_their_id() {
    for setup in SCENES {
        let mut scene = Scene::new(setup).await;
        scene.peer.send(&Frame::request(MUX, GATE, "single")).await;
        scene.rig.gate.expect(Visit::Started, "single").await;
        for frame in [input(1), end_of_input(1)] {
            input_for_nobody(&mut scene, &frame).await;
        }
        scene.peer.send(&ping(1)).await;
        assert_eq!(scene.peer.recv().await, numbered(op::PONG, MUX, 1).payload(pong(true, None)));
        scene.peer.send(&unblock(1)).await;
        scene.peer.fence().await;
        scene.rig.gate.let_through(1);
        assert_eq!(scene.peer.recv().await, Frame::response(MUX, "single"));
        scene.rig.gate.expect(Visit::Finished, "single").await;
        scene.finish().await;
    }
}

#[tokio::test]
async fn a_stream_outlives_a_single_request_of_its_id() {
    for setup in SCENES {
        let mut scene = Scene::new(setup).await;
        open(&mut scene, ECHO_STREAM, "stream ").await;
        scene.peer.send(&Frame::request(MUX, ECHO, "single")).await;
        assert_eq!(scene.peer.recv().await, Frame::response(MUX, "single"));
        scene.peer.send(&input(1)).await;
        assert_eq!(scene.peer.recv().await, scene.kind.credits(numbered(op::UNBLOCK_CL_MUX, MUX, 1)));
        assert_eq!(scene.peer.recv().await, numbered(op::MUX_SERVER_MSG, MUX, 2).payload("stream x"));
        scene.peer.send(&Frame::new(op::DISCONNECT_SERVER_MUX, MUX)).await;
        let told = vec![Frame::new(op::DISCONNECT_CLIENT_MUX, MUX)];
        let told = if scene.kind == Kind::V1 { told } else { vec![] };
        assert_eq!(scene.peer.recv_to_fence().await, told);
        scene.finish().await;
    }
}

/// Of the peer's call that breaks the rules.
const MUX: u64 = 7;

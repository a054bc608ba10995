//! Servers of streams that break the rules, and what becomes of the node's calls.

use bytes::Bytes;
use grid::{CallError, Inbound, LinkError, Outbound, RefusalReason, RemoteError, SendError, Windows};
use grid_tests::raw::{Frame, GATE, Rig, SIDES, Visit, encode_value, flag, op, within};
use rmpv::Value;
use tokio::task::JoinHandle;

use crate::streams::{COUNT, ECHO_STREAM, ENDLESS, Kind, SCENES, Scene, credits, numbered, pong};

type Halves = (Outbound<Bytes>, Inbound<Bytes, RemoteError>);
type Opening = JoinHandle<Result<Halves, CallError<RemoteError>>>;

/// The node calls a stream with windows of two.
async fn call(scene: &mut Scene) -> (u64, Opening) {
    let opening = tokio::spawn(scene.rig.connection().stream(2_u8, Windows::from(2), "x").into_future());
    let connect = scene.peer.recv().await;
    let bare = Frame { handler: 2, ..Frame::new(op::CONNECT_MUX, connect.mux) }.payload("x");
    let wanted = match scene.kind {
        Kind::V1 => bare,
        Kind::Grid => bare.trailer(&credits(2)),
    };
    assert_eq!(connect, wanted);
    (connect.mux, opening)
}

async fn opened(scene: &mut Scene) -> (u64, Halves) {
    let (mux, opening) = call(scene).await;
    scene.peer.send(&Frame::new(op::ACK_MUX, mux)).await;
    (mux, within("the stream to open", opening).await.expect("it does not panic").expect("it opens"))
}

/// Who is told that a call has ended here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Nobody,
    /// A v1 peer, as a Go client would tell it. A grid peer knows.
    V1,
    Everybody,
}

impl Told {
    fn frames(self, kind: Kind, mux: u64) -> Vec<Frame> {
        match (self, kind) {
            (Self::Nobody, _) | (Self::V1, Kind::Grid) => vec![],
            (Self::V1, Kind::V1) | (Self::Everybody, _) => vec![Frame::new(op::DISCONNECT_SERVER_MUX, mux)],
        }
    }
}

/// In words that a test can compare.
fn words(error: &CallError<RemoteError>) -> String {
    match error {
        CallError::Remote(error) => format!("remote {error}"),
        CallError::Refused(refusal) => {
            assert_eq!(refusal.reason(), RefusalReason::Unspecified);
            format!("refused {refusal}")
        }
        CallError::Decode(error) => format!("decode {error}"),
        error => format!("{error:?}"),
    }
}

fn item(seq: u32, payload: &str) -> Frame {
    numbered(op::MUX_SERVER_MSG, 0, seq).payload(payload)
}

fn last(seq: u32, payload: &str) -> Frame {
    item(seq, payload).flags(flag::EOF)
}

fn error(seq: u32, text: &str) -> Frame {
    last(seq, text).flags(flag::ERROR)
}

fn unblock(seq: u32) -> Frame {
    numbered(op::UNBLOCK_CL_MUX, 0, seq)
}

fn ack(seq: u32) -> Frame {
    numbered(op::ACK_MUX, 0, seq)
}

fn disconnect() -> Frame {
    Frame::new(op::DISCONNECT_CLIENT_MUX, 0)
}

/// Ends of an open stream: what comes, the items that are read then, the end, and who is told of it.
fn ends() -> Vec<(Vec<Frame>, &'static [&'static str], &'static str, Told)> {
    let wrong = "decode out-of-sequence item received";
    let response = |seq| Frame { seq, ..Frame::response(0, "r") };
    let said_pong = |body: Vec<u8>| numbered(op::PONG, 0, 1).payload(body);
    let mut ends: Vec<(Vec<Frame>, &[&str], _, _)> = Vec::new();
    for seq in [0, 2, u32::MAX] {
        for frame in [item(seq, "x"), item(seq, "").flags(flag::ZERO), last(seq, "x"), unblock(seq), response(seq)] {
            ends.push((vec![frame], &[], wrong, Told::Everybody));
        }
    }
    ends.extend([
        (vec![item(1, "a"), item(3, "b")], &["a"][..], wrong, Told::Everybody),
        (vec![item(1, "a"), unblock(2), item(2, "b")], &["a"], wrong, Told::Everybody),
        // The stream may have lost an item, so it is no clean end.
        (vec![item(1, "a"), last(3, "")], &["a"], wrong, Told::Everybody),
        (vec![ack(0)], &[], wrong, Told::Everybody),
        (
            vec![item(1, "a"), item(2, "b"), item(3, "c"), item(4, "d")],
            &["a", "b"],
            "decode more items than there were credits for",
            Told::Everybody,
        ),
        (vec![last(1, "")], &[], "end", Told::Nobody),
        (vec![last(1, ""), disconnect()], &[], "end", Told::Nobody),
        (vec![last(1, "z")], &["z"], "end", Told::Nobody),
        (vec![last(1, "").flags(flag::ZERO)], &[""], "end", Told::Nobody),
        (vec![item(1, "a"), item(2, "b"), last(3, "z")], &["a", "b", "z"], "end", Told::Nobody),
        (vec![item(1, "a").trailer(&credits(9)), last(2, "")], &["a"], "end", Told::Nobody),
        (vec![item(1, ""), last(2, "")], &[""], "end", Told::Nobody),
        (vec![response(1)], &["r"], "end", Told::Nobody),
        (vec![item(1, "a"), response(2).flags(flag::ERROR)], &["a"], "remote r", Told::Nobody),
        (vec![error(1, "no")], &[], "remote no", Told::Nobody),
        (vec![error(1, "no"), disconnect()], &[], "remote no", Told::Nobody),
        (vec![error(1, "").flags(flag::ZERO)], &[], "remote ", Told::Nobody),
        (vec![error(7, "no")], &[], "remote no", Told::Nobody),
        (vec![item(1, "no").flags(flag::ERROR)], &[], "remote no", Told::Nobody),
        (vec![error(1, "first"), error(2, "second")], &[], "remote first", Told::Nobody),
        (vec![last(1, ""), error(2, "late")], &[], "end", Told::Nobody),
        (vec![item(1, "a"), disconnect()], &["a"], "refused remote disconnected", Told::V1),
        (vec![disconnect().flags(flag::EOF)], &[], "refused remote disconnected", Told::V1),
        (vec![disconnect().flags(flag::ERROR).payload("why")], &[], "refused why", Told::V1),
        (vec![Frame::refusal(0, "no")], &[], "refused no", Told::V1),
        (vec![said_pong(pong(true, None))], &[], "refused remote terminated call", Told::V1),
        (vec![said_pong(pong(false, Some("gone")))], &[], "refused remote terminated call", Told::V1),
    ]);
    ends
}

#[tokio::test]
async fn whatever_ends_a_stream_ends_it_once_and_in_one_way() {
    for setup in SCENES {
        let mut scene = Scene::new(setup).await;
        for (frames, items, end, told) in ends() {
            for merged in [false, true] {
                eprintln!("{frames:?}: {items:?}, {end}");
                let (mux, (outbound, mut inbound)) = opened(&mut scene).await;
                let frames: Vec<_> = frames.iter().map(|frame| Frame { mux, ..frame.clone() }).collect();
                if merged {
                    scene.peer.send_merged(&frames).await;
                } else {
                    for frame in &frames {
                        scene.peer.send(frame).await;
                    }
                }
                assert_eq!(scene.peer.recv_to_fence().await, told.frames(scene.kind, mux));
                assert_eq!(outbound.send("late".into()).await, Err(SendError::Ended));
                for wanted in items {
                    assert_eq!(inbound.next().await, Some(Ok(Bytes::from(*wanted))));
                }
                let ended = inbound.next().await;
                assert_eq!(ended.map_or("end".into(), |error| words(&error.expect_err("not one more item"))), end);
                assert_eq!(inbound.next().await, None);
                drop((outbound, inbound));
                late_frames(&mut scene, mux).await;
            }
        }
        scene.finish().await;
    }
}

/// Frames for a call that has ended are for nobody.
async fn late_frames(scene: &mut Scene, mux: u64) {
    let late = [ack(0), ack(1), item(2, "late"), last(3, "late"), unblock(4), error(5, "late"), disconnect()];
    let more = [Frame::response(0, "late"), Frame::refusal(0, "late")];
    let pongs = [pong(true, None), pong(false, None), vec![0xc1]].map(|body| Frame::new(op::PONG, 0).payload(body));
    for frame in late.into_iter().chain(more).chain(pongs) {
        scene.peer.send(&Frame { mux, ..frame }).await;
    }
    scene.exchange().await;
}

#[tokio::test]
async fn whatever_answers_an_opening_other_than_with_an_acknowledgement_ends_it() {
    let wrong = "decode out-of-sequence item received";
    let pong = || Frame::new(op::PONG, 0).payload(pong(true, None));
    let cases = [
        (vec![ack(1)], wrong, Told::Everybody),
        (vec![item(1, "x"), ack(1)], wrong, Told::Everybody),
        (vec![last(9, "")], wrong, Told::Everybody),
        (vec![unblock(1)], wrong, Told::Everybody),
        (vec![Frame { seq: 1, ..Frame::response(0, "x") }], wrong, Told::Everybody),
        // What a Go server says when the first item overtakes its acknowledgement.
        (vec![error(0, "no"), ack(1), disconnect()], "remote no", Told::Nobody),
        (vec![error(0, "no"), disconnect(), ack(1), item(2, "x"), last(3, "")], "remote no", Told::Nobody),
        (vec![error(5, "no")], "remote no", Told::Nobody),
        (vec![disconnect()], "refused remote disconnected", Told::V1),
        (vec![Frame::refusal(0, "no"), disconnect()], "refused no", Told::V1),
        (vec![Frame::refusal(0, "").payload([0xc1])], "refused an unreadable refusal", Told::V1),
        (vec![pong()], "refused remote terminated call", Told::V1),
    ];
    for setup in SCENES {
        let mut scene = Scene::new(setup).await;
        for (frames, end, told) in &cases {
            for merged in [false, true] {
                eprintln!("{frames:?}: {end}");
                let (mux, opening) = call(&mut scene).await;
                let frames: Vec<_> = frames.iter().map(|frame| Frame { mux, ..frame.clone() }).collect();
                if merged {
                    scene.peer.send_merged(&frames).await;
                } else {
                    for frame in &frames {
                        scene.peer.send(frame).await;
                    }
                }
                let ended = within("the end of the call", opening).await.expect("it does not panic");
                assert_eq!(words(&ended.expect_err("it does not open")), *end);
                assert_eq!(scene.peer.recv_to_fence().await, told.frames(scene.kind, mux));
                late_frames(&mut scene, mux).await;
            }
        }
        scene.finish().await;
    }
}

#[tokio::test]
async fn an_opening_that_is_answered_with_the_end_is_a_stream_without_items() {
    for setup in SCENES {
        let mut scene = Scene::new(setup).await;
        let (mux, opening) = call(&mut scene).await;
        scene.peer.send(&Frame { mux, ..last(0, "") }).await;
        let (_, mut inbound) = within("the stream to open", opening).await.unwrap().unwrap();
        assert_eq!(inbound.next().await, None);
        late_frames(&mut scene, mux).await;
        scene.finish().await;
    }
}

#[tokio::test]
async fn what_means_nothing_to_a_stream_leaves_it_as_it_was() {
    for setup in SCENES {
        let mut scene = Scene::new(setup).await;
        let (mux, (outbound, mut inbound)) = opened(&mut scene).await;
        for item in ["1", "2"] {
            outbound.send(item.into()).await.unwrap();
            assert_eq!(&*scene.peer.recv().await.payload, item.as_bytes());
        }
        let third = tokio::spawn(async move { outbound.send("3".into()).await.map(|()| outbound) });
        for frame in [
            // A second acknowledgement grants nothing.
            ack(1),
            ack(2).trailer(&credits(9)),
            Frame::new(op::PONG, 0).payload([0xc1]),
            Frame::new(op::PONG, 0),
            Frame::new(op::PONG, 0).payload(pong(false, None)).trailer(&credits(9)),
            numbered(op::PONG, 0, 99).payload(pong(false, None)),
            Frame::new(op::UNBLOCK_SRV_MUX, 0),
            Frame::new(op::DISCONNECT_SERVER_MUX, 0),
            Frame::new(op::CONNECT_RESPONSE, 0),
            Frame::new(200, 0),
        ] {
            eprintln!("{frame:?}");
            scene.peer.send(&Frame { mux, ..frame }).await;
            scene.exchange().await;
        }
        assert!(!third.is_finished());
        scene.peer.send(&Frame { mux, ..unblock(3) }).await;
        let outbound = within("the credit", third).await.unwrap().unwrap();
        assert_eq!(scene.peer.recv().await, numbered(op::MUX_CLIENT_MSG, mux, 3).payload("3"));
        outbound.finish().await.unwrap();
        assert_eq!(scene.peer.recv().await, numbered(op::MUX_CLIENT_MSG, mux, 4).flags(flag::EOF));
        scene.peer.send(&Frame { mux, ..last(4, "") }).await;
        assert_eq!(within("the end", inbound.next()).await, None);
        scene.finish().await;
    }
}

#[tokio::test]
async fn more_credits_than_there_are_windows_let_items_go_and_no_more() {
    for setup in SCENES {
        let mut scene = Scene::new(setup).await;
        let (mux, opening) = call(&mut scene).await;
        let ack = Frame::new(op::ACK_MUX, mux);
        let (many, ack) = match scene.kind {
            // More than the largest window.
            Kind::V1 => (70_000, ack),
            Kind::Grid => (100, ack.trailer(&credits(u32::MAX))),
        };
        scene.peer.send(&ack).await;
        let unblocks: Vec<_> = (1..=many)
            .map(|seq| match scene.kind {
                Kind::V1 => Frame { mux, ..unblock(seq) },
                Kind::Grid => Frame { mux, ..unblock(seq).trailer(&credits(u32::MAX)) },
            })
            .collect();
        for unblocks in unblocks.chunks(1000) {
            scene.peer.send_merged(unblocks).await;
        }
        scene.exchange().await;
        let (outbound, mut inbound) = within("the stream to open", opening).await.unwrap().unwrap();
        for seq in 1..=1000 {
            within("a credit", outbound.send("x".into())).await.unwrap();
            assert_eq!(scene.peer.recv().await, numbered(op::MUX_CLIENT_MSG, mux, seq).payload("x"));
        }
        scene.peer.send(&Frame { mux, ..last(many + 1, "") }).await;
        assert_eq!(within("the end", inbound.next()).await, None);
        drop(outbound);
        scene.finish().await;
    }
}

#[tokio::test]
async fn calls_of_both_directions_with_one_id_are_two() {
    for setup in SCENES {
        let mut scene = Scene::new(setup).await;
        let (mux, (outbound, mut inbound)) = opened(&mut scene).await;
        let single = scene.rig.call(1, "single");
        let single_mux = scene.peer.recv().await.mux;
        scene.peer.send(&Frame::request(single_mux, GATE, "served")).await;
        scene.rig.gate.expect(Visit::Started, "served").await;

        // The peer's own stream of that id ends, and not the node's.
        for _ in 0..2 {
            scene.peer.send(&Frame { handler: ENDLESS, ..Frame::new(op::CONNECT_MUX, mux) }).await;
            assert_eq!(scene.peer.recv().await, scene.kind.credits(Frame::new(op::ACK_MUX, mux)));
            assert_eq!(scene.peer.recv().await, numbered(op::MUX_SERVER_MSG, mux, 1).payload("started"));
            scene.rig.gate.expect(Visit::Started, "").await;
            scene.peer.send(&Frame::new(op::DISCONNECT_SERVER_MUX, mux)).await;
            scene.rig.gate.expect(Visit::Dropped, "").await;
            let told = vec![Frame::new(op::DISCONNECT_CLIENT_MUX, mux)];
            let told = if scene.kind == Kind::V1 { told } else { vec![] };
            assert_eq!(scene.peer.recv_to_fence().await, told);
        }
        outbound.send("x".into()).await.unwrap();
        assert_eq!(scene.peer.recv().await, numbered(op::MUX_CLIENT_MSG, mux, 1).payload("x"));

        // The node's own calls end, and not the peer's.
        scene.peer.send(&Frame { handler: ECHO_STREAM, ..Frame::new(op::CONNECT_MUX, mux) }).await;
        assert_eq!(scene.peer.recv().await, scene.kind.credits(Frame::new(op::ACK_MUX, mux)));
        for mux in [mux, single_mux] {
            scene.peer.send(&Frame { mux, ..disconnect() }).await;
        }
        let refused = "refused remote disconnected";
        assert_eq!(words(&within("the end", inbound.next()).await.unwrap().unwrap_err()), refused);
        assert_eq!(words(&within("the end", single).await.unwrap().unwrap_err()), refused);
        assert_eq!(scene.peer.recv_to_fence().await, Told::V1.frames(scene.kind, mux));
        scene.peer.send(&numbered(op::MUX_CLIENT_MSG, mux, 1).payload("x")).await;
        assert_eq!(scene.peer.recv().await, scene.kind.credits(numbered(op::UNBLOCK_CL_MUX, mux, 1)));
        assert_eq!(scene.peer.recv().await, numbered(op::MUX_SERVER_MSG, mux, 2).payload("x"));
        scene.rig.gate.let_through(1);
        assert_eq!(scene.peer.recv().await, Frame::response(single_mux, "served"));
        scene.peer.send(&Frame::new(op::DISCONNECT_SERVER_MUX, mux)).await;
        scene.peer.recv_to_fence().await;
        drop((outbound, inbound));
        scene.finish().await;
    }
}

#[tokio::test]
async fn credits_are_counted_with_those_who_announced_it_alone() {
    let announced = [(None, false), (Some(15), false), (Some(16), false), (Some(18), true), (Some(31), true)];
    for side in SIDES {
        for (caps, counts) in announced {
            let rig = Rig::with(side, caps, |builder| builder).await;
            let mut peer = rig.link().await;
            let with = |frame: Frame, count| if counts { frame.trailer(&credits(count)) } else { frame };
            let opening = tokio::spawn(rig.connection().stream(2_u8, Windows::responses(3), "").into_future());
            let connect = peer.recv().await;
            let wanted = Frame { handler: 2, ..Frame::new(op::CONNECT_MUX, connect.mux) }.flags(flag::EOF);
            assert_eq!(connect, with(wanted, 3));
            opening.abort();
            assert!(opening.await.unwrap_err().is_cancelled());
            assert_eq!(peer.recv().await, Frame::new(op::DISCONNECT_SERVER_MUX, connect.mux));

            peer.send(&Frame { handler: COUNT, ..Frame::new(op::CONNECT_MUX, 1) }.payload("0")).await;
            assert_eq!(peer.recv().await, with(Frame::new(op::ACK_MUX, 1), 0));
            assert_eq!(peer.recv().await, numbered(op::MUX_SERVER_MSG, 1, 1).flags(flag::EOF));
            let told = if counts { vec![] } else { vec![Frame::new(op::DISCONNECT_CLIENT_MUX, 1)] };
            assert_eq!(peer.recv_to_fence().await, told);
            rig.idle().await;
            rig.finish().await;
        }
    }
}

#[tokio::test]
async fn credits_that_are_no_number_of_items_end_the_link() {
    for side in SIDES {
        let rig = Rig::with(side, Some(31), |builder| builder).await;
        for value in [Value::from(1_u64 << 32), (-1).into(), "1".into(), Value::Nil] {
            let mut peer = rig.link().await;
            let unblock = Frame { trailer: encode_value(&Value::Map(vec![(4.into(), value)])), ..unblock(1) };
            peer.send(&unblock.flags(flag::TRAILER)).await;
            peer.closed().await;
            assert!(matches!(rig.ended().await, LinkError::Protocol(_)));
        }
        rig.finish().await;
    }
}

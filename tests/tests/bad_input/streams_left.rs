//! Streams that are left alone: by a peer that says nothing, that takes its own opening back, or whose items nobody
//! reads.

use std::time::Duration;

use grid::{CallError, ManagerBuilder, RefusalReason, SendError};
use grid_tests::raw::{Frame, RawPeer, Rig, Visit, flag, let_pass, op, within};
use rmpv::Value;

use crate::streams::{ECHO_STREAM, ENDLESS, Kind, SCENES, Scene, credits, numbered, pong};

/// Takes the pings of these streams, whose number is this.
async fn recv_pings(peer: &mut RawPeer, muxes: [u64; 2], seq: u32) -> [Frame; 2] {
    let mut pings = [peer.recv().await, peer.recv().await];
    pings.sort_by_key(|ping| ping.mux != muxes[0]);
    assert_eq!(pings, muxes.map(|mux| numbered(op::PING, mux, seq)));
    pings
}

#[tokio::test]
async fn a_server_that_answers_no_pings_of_a_stream_loses_it() {
    // A grid node forgets no stream of a link that lives.
    for (side, _) in SCENES.into_iter().filter(|(_, kind)| *kind == Kind::V1) {
        let mut rig = Rig::with(side, None, |builder| builder).await;
        rig.finish_witness().await;
        let mut peer = rig.link().await;
        let mut open = async || {
            let opening = tokio::spawn(rig.connection().stream(2_u8, 1, "").into_future());
            let mux = peer.recv().await.mux;
            peer.send(&Frame::new(op::ACK_MUX, mux)).await;
            (mux, within("the stream to open", opening).await.unwrap().unwrap())
        };
        let ((silent, (outbound, mut inbound)), (beside, mut other)) = (open().await, open().await);
        let answer = |ping: Frame| Frame { op: op::PONG, ..ping }.payload(pong(false, None));
        // The last sign of life is taken note of when the next ping is due. It waits for two pings from then on.
        for seq in 1..=7 {
            let_pass(PING_INTERVAL).await;
            let [first, second] = recv_pings(&mut peer, [silent, beside], seq).await;
            if seq <= 5 {
                peer.send(&answer(first)).await;
            }
            peer.send(&answer(second)).await;
            peer.fence().await;
        }
        let_pass(PING_INTERVAL).await;
        let mut told = [peer.recv().await, peer.recv().await];
        told.sort_by_key(|frame| frame.mux == beside);
        assert_eq!(told, [Frame::new(op::DISCONNECT_SERVER_MUX, silent), numbered(op::PING, beside, 8)]);

        let Some(Err(CallError::Refused(refusal))) = inbound.next().await else { panic!("it goes on") };
        assert_eq!(refusal.message(), "remote disconnected");
        assert_eq!(inbound.next().await, None);
        assert_eq!(outbound.send("x".into()).await, Err(SendError::Ended));
        peer.send(&numbered(op::MUX_SERVER_MSG, beside, 1).flags(flag::EOF)).await;
        assert_eq!(within("the end", other.1.next()).await, None);
        peer.fence().await;
        rig.idle().await;
    }
}

#[tokio::test]
async fn a_caller_that_does_not_ping_its_stream_loses_it() {
    for (side, kind) in SCENES.into_iter().filter(|(_, kind)| *kind == Kind::V1) {
        let mut rig = Rig::with(side, None, |builder| builder).await;
        rig.finish_witness().await;
        let mut peer = rig.link().await;
        let (silent, beside) = (7, 8);
        for mux in [silent, beside] {
            peer.send(&Frame { handler: ENDLESS, ..Frame::new(op::CONNECT_MUX, mux) }).await;
            assert_eq!(peer.recv().await, kind.credits(Frame::new(op::ACK_MUX, mux)));
            assert_eq!(peer.recv().await, numbered(op::MUX_SERVER_MSG, mux, 1).payload("started"));
            rig.gate.expect(Visit::Started, "").await;
        }
        // Four intervals after the last sign of life was taken note of.
        for seq in 1..=9 {
            let_pass(PING_INTERVAL).await;
            if seq <= 4 {
                peer.send(&numbered(op::PING, silent, seq)).await;
                assert_eq!(peer.recv().await, numbered(op::PONG, silent, seq).payload(pong(false, None)));
            }
            if seq < 9 {
                peer.send(&numbered(op::PING, beside, seq)).await;
                assert_eq!(peer.recv().await, numbered(op::PONG, beside, seq).payload(pong(false, None)));
                peer.fence().await;
            }
        }
        assert_eq!(peer.recv().await, Frame::new(op::DISCONNECT_CLIENT_MUX, silent));
        rig.gate.expect(Visit::Dropped, "").await;
        peer.fence().await;
        assert_eq!(rig.connection().stats().calls_in, 1);
        peer.send(&Frame::new(op::DISCONNECT_SERVER_MUX, beside)).await;
        rig.gate.expect(Visit::Dropped, "").await;
        rig.idle().await;
    }
}

/// A stopped virtual machine has asked nobody for a sign of life, so that none came says nothing of its peers.
#[tokio::test]
async fn a_node_that_stood_still_pings_before_it_gives_a_stream_up() {
    for (side, kind) in SCENES {
        let mut rig = Rig::with(side, (kind == Kind::Grid).then_some(31), |builder| builder).await;
        rig.finish_witness().await;
        let mut peer = rig.link().await;
        let opening = tokio::spawn(rig.connection().stream(2_u8, 1, "").into_future());
        let mux = peer.recv().await.mux;
        peer.send(&Frame::new(op::ACK_MUX, mux)).await;
        let stream = within("the stream to open", opening).await.unwrap().unwrap();
        // So that the acknowledgement, which is a sign of life, was looked at before.
        let_pass(Duration::from_secs(2)).await;
        peer.fence().await;
        let_pass(10 * PING_INTERVAL).await;
        assert_eq!(peer.recv().await, numbered(op::PING, mux, 1));
        drop(stream);
        assert_eq!(peer.recv().await, Frame::new(op::DISCONNECT_SERVER_MUX, mux));
        rig.idle().await;
    }
}

#[tokio::test]
async fn a_stream_that_is_opened_and_given_up_in_one_message_leaves_nothing() {
    for setup in SCENES {
        let mut scene = Scene::new(setup).await;
        let input = |seq| numbered(op::MUX_CLIENT_MSG, 7, seq);
        let given_up = Frame::new(op::DISCONNECT_SERVER_MUX, 7);
        for handler in [ECHO_STREAM, ENDLESS] {
            let opening = Frame { handler, ..Frame::new(op::CONNECT_MUX, 7) };
            let items = [input(1).payload("x"), input(2).flags(flag::EOF)];
            for said in [&items[..0], &items[..1], &items] {
                let end = Frame { seq: 1 + u32::try_from(said.len()).unwrap(), ..given_up.clone() };
                let message = [std::slice::from_ref(&opening), said, &[end, given_up.clone()]].concat();
                scene.peer.send_merged(&message).await;
                let mut told = vec![scene.kind.credits(Frame::new(op::ACK_MUX, 7))];
                if scene.kind == Kind::V1 {
                    told.push(Frame::new(op::DISCONNECT_CLIENT_MUX, 7));
                }
                assert_eq!(scene.peer.recv_to_fence().await, told);
                scene.exchange().await;
            }
        }
        scene.finish().await;
    }
}

const UNREAD: usize = 4 << 10;

fn forgetful(builder: ManagerBuilder) -> ManagerBuilder {
    builder.limits(|limits| limits.unread_bytes_max = UNREAD)
}

#[tokio::test]
async fn an_item_beyond_what_may_be_unread_ends_its_stream() {
    let text = "more bytes of items are unread than may be";
    for setup in SCENES {
        let mut scene = Scene::with(setup, forgetful).await;
        scene.peer.send(&Frame { handler: ENDLESS, ..Frame::new(op::CONNECT_MUX, 7) }).await;
        assert_eq!(scene.peer.recv().await, scene.kind.credits(Frame::new(op::ACK_MUX, 7)));
        assert_eq!(scene.peer.recv().await, numbered(op::MUX_SERVER_MSG, 7, 1).payload("started"));
        scene.peer.send(&numbered(op::MUX_CLIENT_MSG, 7, 1).payload([0; UNREAD + 1])).await;
        let overloaded = match scene.kind {
            Kind::V1 => scene.kind.breach(7, 2, text),
            Kind::Grid => scene.kind.breach(7, 2, text).trailer(&Value::Map(vec![(3.into(), 4.into())])),
        };
        assert_eq!(scene.peer.recv().await, overloaded);
        assert_eq!(scene.peer.recv().await, Frame::new(op::DISCONNECT_CLIENT_MUX, 7));
        scene.exchange().await;

        let opening = tokio::spawn(scene.rig.connection().stream(2_u8, 2, "").into_future());
        let mux = scene.peer.recv().await.mux;
        scene.peer.send(&Frame::new(op::ACK_MUX, mux).trailer(&credits(2))).await;
        let (_outbound, mut inbound) = within("the stream to open", opening).await.unwrap().unwrap();
        for seq in [1, 2] {
            scene.peer.send(&numbered(op::MUX_SERVER_MSG, mux, seq).payload([7; UNREAD / 2 + 1])).await;
        }
        assert_eq!(scene.peer.recv().await, Frame::new(op::DISCONNECT_SERVER_MUX, mux));
        scene.peer.fence().await;
        // What there was room for is there.
        assert_eq!(inbound.next().await.unwrap().unwrap().len(), UNREAD / 2 + 1);
        let Some(Err(CallError::Refused(refusal))) = inbound.next().await else { panic!("it goes on") };
        assert_eq!((refusal.reason(), refusal.message()), (RefusalReason::Overloaded, text));
        scene.finish().await;
    }
}

/// Of a stream, as v1 has it.
const PING_INTERVAL: Duration = Duration::from_secs(15);

//! What grid adds to v1: used with a peer that announced it, and never with another.

use std::time::Duration;

use bytes::Bytes;
use grid::{CallError, HandlerId, LinkError, RefusalReason, State};
use grid_tests::raw::{ECHO, Frame, GATE, RawPeer, Rig, SIDES, Side, Visit, flag, op, within};
use rmpv::Value;

const WIDE: u64 = 1;
const TRAILER: u64 = 2;
const CANCEL: u64 = 4;
const DRAIN: u64 = 8;

/// What peers announce, and the additions that go with it.
const ANNOUNCED: [(Option<u64>, u64); 9] = [
    (None, 0),
    (Some(0), 0),
    (Some(WIDE), WIDE),
    (Some(TRAILER), TRAILER),
    (Some(CANCEL), CANCEL),
    (Some(DRAIN), DRAIN),
    (Some(15), 15),
    (Some(0xffff_fff0), 0),
    (Some(u64::MAX), 15),
];

fn wide() -> HandlerId {
    HandlerId::new(7, 9)
}

#[tokio::test]
async fn each_addition_is_used_exactly_with_peers_that_announced_it() {
    for side in SIDES {
        for (caps, has) in ANNOUNCED {
            let rig = Rig::with(side, caps, |builder| builder).await;
            let mut peer = rig.link().await;
            wide_handlers(&rig, &mut peer, has).await;
            trailers(&rig, &mut peer, has).await;
            cancellations(&rig, &mut peer, has).await;
            rig.finish().await;
        }
    }
}

async fn wide_handlers(rig: &Rig, peer: &mut RawPeer, has: u64) {
    let connection = rig.connection();
    let call = tokio::spawn(async move { connection.single(wide(), "x").await });
    if has & WIDE != 0 {
        let request = peer.recv().await;
        assert_eq!((request.handler, request.flags), (7 * 256 + 9, flag::CRC | flag::EOF));
        peer.send(&Frame::response(request.mux, "y")).await;
        assert_eq!(call.await.unwrap(), Ok(Bytes::from("y")));
    } else {
        let Err(CallError::Refused(refusal)) = call.await.unwrap() else { panic!("a v1 peer has no such handler") };
        assert_eq!(refusal.reason(), RefusalReason::UnknownHandler);
    }
    peer.fence().await;
}

async fn trailers(rig: &Rig, peer: &mut RawPeer, has: u64) {
    let plain = rig.call(1, "plain");
    let request = peer.recv().await;
    assert_eq!((request.flags, &*request.trailer), (flag::CRC | flag::EOF, &b""[..]));
    let connection = rig.connection().subroute("a/b");
    let call = connection.single(1_u8, "x").metadata("tenant", "blue").metadata("traceparent", "00-1-2-01");
    let rich = tokio::spawn(async move { call.await });
    let request = peer.recv().await;
    let bare = Frame { mux: request.mux, ..Frame::request(0, 1, "x").under("a/b") };
    if has & TRAILER != 0 {
        let metadata = Value::Map(vec![("tenant".into(), "blue".into())]);
        let trailer = Value::Map(vec![(1.into(), "00-1-2-01".into()), (2.into(), metadata)]);
        assert_eq!(request, bare.trailer(&trailer));
    } else {
        assert_eq!(request, bare);
    }
    for call in [plain, rich] {
        call.abort();
        assert!(call.await.unwrap_err().is_cancelled());
    }
    peer.recv_to_fence().await;
}

async fn cancellations(rig: &Rig, peer: &mut RawPeer, has: u64) {
    let call = rig.call(1, "x");
    let mux = peer.recv().await.mux;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    let told = if has & CANCEL != 0 { vec![Frame::new(op::DISCONNECT_SERVER_MUX, mux)] } else { vec![] };
    assert_eq!(peer.recv_to_fence().await, told);

    let expired = rig.connection().single(1_u8, "x").timeout(Duration::from_millis(5)).await;
    assert_eq!(expired, Err(CallError::DeadlineExceeded));
    let mux = peer.recv().await.mux;
    let told = if has & CANCEL != 0 { vec![Frame::new(op::DISCONNECT_SERVER_MUX, mux)] } else { vec![] };
    assert_eq!(peer.recv_to_fence().await, told);
}

#[tokio::test]
async fn a_node_that_leaves_tells_those_who_know_of_it_and_answers_what_runs() {
    for side in SIDES {
        for (caps, has) in ANNOUNCED {
            let mut rig = Rig::with(side, caps, |builder| builder).await;
            rig.finish_witness().await;
            let mut peer = rig.link().await;
            peer.send(&Frame::request(1, GATE, "running")).await;
            rig.gate.expect(Visit::Started, "running").await;
            let node = rig.node.clone();
            let shutdown = tokio::spawn(async move { node.shutdown().await });
            let mut told = Vec::new();
            let refused = loop {
                peer.send(&Frame::request(2, ECHO, "too late?")).await;
                match peer.recv().await {
                    frame if frame.op == op::MUX_CONNECT_ERROR => break frame,
                    frame if frame.op == op::DISCONNECT => told.push(frame),
                    frame => assert_eq!(frame, Frame::response(2, "too late?")),
                }
            };
            let reason = Value::Map(vec![(3.into(), 5.into())]);
            assert_eq!(refused.trailer_map(), (has & TRAILER != 0).then_some(reason));
            rig.gate.let_through(1);
            told.extend(peer.recv_to_end().await);
            // All but the answers, of which some were on their way.
            told.retain(|frame| frame.mux != 2);
            let notice = Frame::new(op::DISCONNECT, 0).flags(flag::EOF).payload("shutting down");
            let answer = Frame::response(1, "running");
            assert_eq!(told, if has & DRAIN != 0 { vec![notice, answer] } else { vec![answer] });
            // The node waits for its last words to have been read.
            drop(peer);
            within("the shutdown", shutdown).await.unwrap();
            assert_eq!(rig.connection().state(), State::Closed);
        }
    }
}

#[tokio::test]
async fn a_peer_that_leaves_is_called_no_more_and_answers_what_it_was_asked() {
    for side in SIDES {
        let rig = Rig::with(side, Some(15), |builder| builder).await;
        let mut peer = rig.link().await;
        let running = rig.call(1, "running");
        let mux = peer.recv().await.mux;
        peer.send(&Frame::new(op::DISCONNECT, 0).flags(flag::EOF).payload("upgrade")).await;
        peer.fence().await;
        assert_eq!(rig.connection().state(), State::Draining);
        let Err(CallError::Refused(refusal)) = rig.connection().single(1_u8, "").await else { panic!("it leaves") };
        assert_eq!(refusal.reason(), RefusalReason::Draining);
        assert!(refusal.message().contains("upgrade"), "{refusal}");
        // It may still call.
        peer.send(&Frame::request(3, ECHO, "x")).await;
        assert_eq!(peer.recv().await, Frame::response(3, "x"));
        peer.send(&Frame::response(mux, "yes")).await;
        assert_eq!(running.await.unwrap().unwrap(), "yes");
        drop(peer);
        assert!(matches!(rig.ended().await, LinkError::Closed(_)));
        let mut peer = rig.link().await;
        peer.fence().await;
        assert_eq!(rig.connection().state(), State::Connected);
        rig.finish().await;
    }
}

#[tokio::test]
async fn a_cancelled_request_drops_its_handler_and_is_not_answered() {
    for side in SIDES {
        let rig = Rig::with(side, Some(15), |builder| builder).await;
        let mut peer = rig.link().await;
        for (mux, payload) in [(1, "one"), (2, "two")] {
            peer.send(&Frame::request(mux, GATE, payload)).await;
            rig.gate.expect(Visit::Started, payload).await;
        }
        peer.send(&Frame::new(op::DISCONNECT_SERVER_MUX, 1)).await;
        rig.gate.expect(Visit::Dropped, "one").await;
        // A second time, it is for nobody.
        peer.send(&Frame::new(op::DISCONNECT_SERVER_MUX, 1)).await;
        peer.fence().await;
        rig.gate.let_through(1);
        assert_eq!(peer.recv().await, Frame::response(2, "two"));
        // Request and cancellation at once.
        let request = Frame::request(3, GATE, "three");
        peer.send_merged(&[request, Frame::new(op::DISCONNECT_SERVER_MUX, 3)]).await;
        peer.fence().await;
        rig.finish().await;
    }
}

#[tokio::test]
async fn a_refusal_tells_its_reason_to_those_who_know_trailers() {
    for side in SIDES {
        for (caps, has) in ANNOUNCED {
            let rig = Rig::with(side, caps, |builder| builder).await;
            let mut peer = rig.link().await;
            // Unknown, panic, the handler's own error.
            for (handler, reason) in [(60, Some(1)), (15, Some(3)), (11, None)] {
                peer.send(&Frame::request(1, handler, "x")).await;
                let answer = peer.recv().await;
                let trailer = reason.map(|reason: u8| Value::Map(vec![(3.into(), reason.into())]));
                assert_eq!(answer.trailer_map(), trailer.filter(|_| has & TRAILER != 0), "{answer:?}");
            }
            rig.finish().await;
        }
    }
}

#[tokio::test]
async fn a_reason_of_the_peer_reaches_the_caller() {
    let reasons = [
        (0, RefusalReason::Unspecified),
        (1, RefusalReason::UnknownHandler),
        (2, RefusalReason::BadRequest),
        (3, RefusalReason::Panicked),
        (4, RefusalReason::Overloaded),
        (5, RefusalReason::Draining),
        (6, RefusalReason::BadAnswer),
        (99, RefusalReason::Unspecified),
    ];
    for side in SIDES {
        let rig = Rig::with(side, Some(15), |builder| builder).await;
        let mut peer = rig.link().await;
        for (number, reason) in reasons {
            for refusal in [Frame::refusal(0, "no"), Frame::response(0, "no").flags(flag::ERROR)] {
                let call = rig.call(1, "");
                let mux = peer.recv().await.mux;
                let unknown = (77.into(), Value::Array(vec!["skipped".into()]));
                let trailer = Value::Map(vec![unknown, (3.into(), number.into())]);
                peer.send(&Frame { mux, ..refusal.trailer(&trailer) }).await;
                let Err(CallError::Refused(refusal)) = call.await.unwrap() else { panic!("a refusal") };
                assert_eq!(refusal.reason(), reason);
                // Who calls knows better what it is that is not served.
                if reason != RefusalReason::UnknownHandler {
                    assert_eq!(refusal.message(), "no");
                }
            }
        }
        rig.finish().await;
    }
}

#[tokio::test]
async fn metadata_and_wide_ids_of_a_peer_reach_the_handler() {
    for side in SIDES {
        let tell = |builder: grid::ManagerBuilder| {
            builder.single(wide(), |context: grid::Context, _| async move {
                let told =
                    ["k", "traceparent", "missing"].map(|name| context.metadata(name).unwrap_or("none").to_owned());
                Ok(Bytes::from(format!("{} {}", context.handler_id().get(), told.join(" "))))
            })
        };
        let rig = Rig::with(side, Some(15), tell).await;
        let mut peer = rig.link().await;
        let metadata = Value::Map(vec![("k".into(), "v".into())]);
        let trailer = Value::Map(vec![(2.into(), metadata), (50.into(), Value::Nil), (1.into(), "00-1-2-01".into())]);
        peer.send(&Frame::request(1, 7 * 256 + 9, "").trailer(&trailer)).await;
        assert_eq!(peer.recv().await, Frame::response(1, "1801 v 00-1-2-01 none"));
        // An empty trailer, and metadata beyond the limit.
        peer.send(&Frame::request(1, ECHO, "x").trailer(&Value::Map(vec![]))).await;
        assert_eq!(peer.recv().await, Frame::response(1, "x"));
        let long = Value::Map(vec![("k".into(), "v".repeat(9000).into())]);
        peer.send(&Frame::request(1, ECHO, "x").trailer(&Value::Map(vec![(2.into(), long)]))).await;
        let refused = peer.recv().await;
        assert_eq!(refused.trailer_map(), Some(Value::Map(vec![(3.into(), 2.into())])));
        assert!(refused.error_text().contains("metadata"), "{refused:?}");
        peer.fence().await;
        rig.finish().await;
    }
}

#[tokio::test]
async fn a_wide_id_that_nobody_serves_is_refused_by_its_number() {
    let rig = Rig::with(Side::Accepts, Some(WIDE), |builder| builder).await;
    let mut peer = rig.link().await;
    for (handler, text) in [(7 * 256 + 9, "Invalid Handler for type: 7.9"), (256, "Invalid Handler for type: 1.0")] {
        let request = Frame::request(1, handler, "x");
        peer.send(&request).await;
        let refusal = peer.recv().await;
        assert_eq!(
            (refusal.op, refusal.handler, refusal.error_text()),
            (op::MUX_CONNECT_ERROR, handler, text.to_owned())
        );
    }
    peer.fence().await;
    rig.finish().await;
}

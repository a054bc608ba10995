//! What becomes of the node's own calls, whatever the peer answers.

use std::time::Duration;

use bytes::Bytes;
use grid::{CallError, RefusalReason, RemoteError};
use grid_tests::raw::{Frame, Rig, SIDES, flag, map, op, within};
use rmpv::Value;

/// In words that a test can compare.
fn words(outcome: Result<Bytes, CallError<RemoteError>>) -> String {
    match outcome {
        Ok(answer) => format!("ok {}", answer.escape_ascii()),
        Err(CallError::Remote(error)) => format!("remote {error}"),
        Err(CallError::Refused(refusal)) => {
            assert_eq!(refusal.reason(), RefusalReason::Unspecified);
            format!("refused {refusal}")
        }
        Err(CallError::Decode(error)) => format!("decode {error}"),
        Err(error) => format!("{error:?}"),
    }
}

/// Each answer ends its own call so, and no other.
async fn ends(answers: &[(Frame, &str)]) {
    for side in SIDES {
        let rig = Rig::new(side).await;
        let mut peer = rig.link().await;
        let other = rig.call(2, "other");
        let others = peer.recv().await.mux;
        for (answer, wanted) in answers {
            eprintln!("{answer:?}");
            let call = rig.call(1, "call");
            let request = peer.recv().await;
            let answer = Frame { mux: request.mux, ..answer.clone() };
            peer.send(&answer).await;
            let outcome = within("the end of the call", call).await.unwrap();
            assert_eq!(words(outcome), *wanted);
            // Once more, it is for nobody.
            peer.send(&answer).await;
            peer.send(&Frame::response(request.mux, "late")).await;
            peer.fence().await;
        }
        assert!(!other.is_finished());
        peer.send(&Frame::response(others, "still here")).await;
        assert_eq!(other.await.unwrap().unwrap(), "still here");
        rig.finish().await;
    }
}

#[tokio::test]
async fn every_frame_that_can_end_a_call_ends_it_in_one_way() {
    let answer = || Frame::response(0, "x");
    let said = |op| Frame::new(op, 0);
    ends(&[
        (answer(), "ok x"),
        (answer().bare(), "ok x"),
        (Frame { flags: flag::CRC, ..answer() }, "ok x"),
        (answer().flags(flag::ZERO | flag::STATELESS | 0x80), "ok x"),
        (Frame { deadline_ms: 1, handler: 200, ..answer() }, "ok x"),
        (answer().payload(""), "ok "),
        (answer().payload("").flags(flag::ZERO), "ok "),
        (answer().flags(flag::ERROR), "remote x"),
        (answer().flags(flag::ERROR).payload(""), "remote "),
        (answer().flags(flag::ERROR).payload([0xff]), "remote \u{fffd}"),
        (answer().under("a/b"), "ok x"),
        (said(op::MUX_SERVER_MSG).payload("x"), "ok x"),
        (said(op::MUX_SERVER_MSG).flags(flag::EOF).payload("x"), "ok x"),
        (said(op::MUX_SERVER_MSG).flags(flag::EOF | flag::ERROR).payload("x"), "remote x"),
        (said(op::DISCONNECT_CLIENT_MUX), "refused remote disconnected"),
        (said(op::DISCONNECT_CLIENT_MUX).flags(flag::EOF), "refused remote disconnected"),
        (said(op::DISCONNECT_CLIENT_MUX).flags(flag::ERROR).payload("why"), "refused why"),
        (Frame::refusal(0, "no"), "refused no"),
        (Frame::refusal(0, ""), "refused "),
        (Frame::refusal(0, "").payload(map([("Reason", 1.into()), ("Error", "no".into())])), "refused no"),
        (Frame::refusal(0, "").payload([0x80]), "refused "),
    ])
    .await;
}

#[tokio::test]
async fn an_answer_out_of_sequence_ends_its_call_with_a_decode_error() {
    let wrong = "decode out-of-sequence item received";
    ends(&[
        (Frame { seq: 1, ..Frame::response(0, "x") }, wrong),
        (Frame { seq: u32::MAX, ..Frame::response(0, "x").flags(flag::ERROR) }, wrong),
        (Frame { seq: 1, ..Frame::new(op::MUX_SERVER_MSG, 0).payload("x") }, wrong),
    ])
    .await;
}

#[tokio::test]
async fn what_means_nothing_to_a_single_request_leaves_it_waiting() {
    for side in SIDES {
        let rig = Rig::new(side).await;
        let mut peer = rig.link().await;
        let call = rig.call(1, "call");
        let mux = peer.recv().await.mux;
        let pong = |nf: bool, error: Value| map([("nf", nf.into()), ("e", error), ("t", grid_tests::raw::time(1))]);
        for frame in [
            Frame::new(op::ACK_MUX, mux),
            Frame::new(op::ACK_MUX, mux).flags(flag::EOF),
            Frame::new(op::UNBLOCK_CL_MUX, mux),
            Frame::new(op::UNBLOCK_SRV_MUX, mux),
            Frame::new(op::DISCONNECT_SERVER_MUX, mux),
            Frame::new(op::PONG, mux).payload(pong(true, Value::Nil)),
            Frame::new(op::PONG, mux).payload(pong(false, "gone".into())),
            Frame::new(200, mux),
        ] {
            eprintln!("{frame:?}");
            peer.send(&frame).await;
            peer.fence().await;
        }
        assert!(!call.is_finished());
        peer.send(&Frame::response(mux, "yes")).await;
        assert_eq!(call.await.unwrap().unwrap(), "yes");
        rig.finish().await;
    }
}

#[tokio::test]
async fn answers_in_any_order_find_their_calls() {
    for side in SIDES {
        let rig = Rig::new(side).await;
        let mut peer = rig.link().await;
        let payloads = ["a", "b", "c", "d", "e"];
        let calls = payloads.map(|payload| rig.call(1, payload));
        let mut requests = Vec::new();
        while requests.len() < payloads.len() {
            requests.push(peer.recv().await);
        }
        requests.reverse();
        peer.send(&Frame::response(requests[0].mux, &requests[0].payload)).await;
        let answers: Vec<_> =
            requests.iter().skip(1).map(|request| Frame::response(request.mux, &request.payload)).collect();
        peer.send_merged(&answers).await;
        for (call, payload) in calls.into_iter().zip(payloads) {
            assert_eq!(within("an answer", call).await.unwrap().unwrap(), payload);
        }
        rig.finish().await;
    }
}

#[tokio::test]
async fn a_late_answer_to_a_call_that_was_given_up_meets_nobody() {
    for side in SIDES {
        let rig = Rig::new(side).await;
        let mut peer = rig.link().await;
        let dropped = rig.call(1, "dropped");
        let first = peer.recv().await.mux;
        dropped.abort();
        assert!(dropped.await.unwrap_err().is_cancelled());

        let expired = rig.connection().single(1_u8, "expired").timeout(Duration::from_millis(20)).await;
        assert_eq!(expired, Err(CallError::DeadlineExceeded));
        let second = peer.recv().await;
        assert_eq!((second.deadline_ms, &*second.payload), (20, &b"expired"[..]));

        let waits = rig.call(1, "waits");
        let third = peer.recv().await.mux;
        for late in [first, second.mux] {
            assert_ne!(late, third);
            peer.send(&Frame::response(late, "late")).await;
            peer.send(&Frame::new(op::DISCONNECT_CLIENT_MUX, late)).await;
        }
        peer.fence().await;
        peer.send(&Frame::response(third, "in time")).await;
        assert_eq!(waits.await.unwrap().unwrap(), "in time");
        rig.finish().await;
    }
}

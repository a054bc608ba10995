//! Merges that are not what they claim to be.

use bytes::Bytes;
use grid_tests::raw::{ECHO, Frame, Rig, SIDES, flag, merge, op, within};

fn echo(mux: u64) -> Vec<u8> {
    Frame::request(mux, ECHO, mux.to_string()).encode()
}

/// Merges whose first element is the answer to this call, and which then go wrong.
fn bad_behind_answer(mux: u64) -> Vec<(&'static str, Vec<u8>)> {
    let good = || Frame::response(mux, "answer").encode();
    let mut wrong = echo(2);
    *wrong.last_mut().unwrap() ^= 1;
    let cut = |cut: usize| {
        let mut message = merge(2, &[good(), echo(2)]);
        message.truncate(message.len() - cut);
        message
    };
    vec![
        ("fewer than claimed", merge(3, &[good(), echo(2)])),
        ("the last byte cut off", cut(1)),
        ("an element cut off", cut(echo(2).len() + 1)),
        ("garbage", merge(2, &[good(), vec![0xc1]])),
        ("an empty element", merge(2, &[good(), vec![]])),
        ("a wrong checksum", merge(2, &[good(), wrong])),
        ("an element that is a text", [merge(2, &[good()]), vec![0xa1, b'x']].concat()),
    ]
}

#[tokio::test]
async fn the_elements_before_a_bad_one_are_handled_and_then_the_link_ends() {
    for side in SIDES {
        let rig = Rig::new(side).await;
        for case in 0..bad_behind_answer(0).len() {
            let mut peer = rig.link().await;
            let call = rig.call(1, "");
            let request = peer.recv().await;
            let (name, message) = bad_behind_answer(request.mux).swap_remove(case);
            eprintln!("{name}");
            peer.send_message(message).await;
            let answer = within("the answer", call).await.unwrap();
            assert_eq!(answer, Ok(Bytes::from("answer")));
            // The link ends before anything else is answered.
            peer.closed().await;
            rig.violated().await;
        }
        rig.finish().await;
    }
}

#[tokio::test]
async fn a_merge_of_more_frames_than_may_be_ends_the_link_before_any_is_handled() {
    for side in SIDES {
        let rig = Rig::new(side).await;
        for (ended, claimed) in [1025, u32::MAX].into_iter().enumerate() {
            let mut peer = rig.link().await;
            peer.send_message(merge(claimed, &[echo(1)])).await;
            peer.closed().await;
            assert!(rig.violated().await.contains("beyond merge_frames_max"));
            assert_eq!(rig.connection().stats().limit_hits.merge_frames_max, ended as u64 + 1);
        }
        let mut peer = rig.link().await;
        peer.send_message(merge(1024, &vec![echo(1); 1024])).await;
        for _ in 0..1024 {
            assert_eq!(peer.recv().await.op, op::RESPONSE);
        }
        rig.finish().await;
    }
}

#[tokio::test]
async fn a_bad_checksum_of_a_merge_ends_the_link_and_none_of_it_is_handled() {
    let outer = Frame { seq: 1, ..Frame::new(op::MERGED, 0) };
    let element = [&[0xc4, u8::try_from(echo(1).len()).unwrap()][..], &echo(1)].concat();
    let good = Frame { trailer: element, ..outer }.encode();
    let mut bad = good.clone();
    *bad.last_mut().unwrap() ^= 1;
    for side in SIDES {
        let rig = Rig::new(side).await;
        let mut peer = rig.link().await;
        peer.send_message(&bad).await;
        peer.closed().await;
        rig.violated().await;

        // What is good is taken, though v1 peers send no checksum there.
        let mut peer = rig.link().await;
        peer.send_message(&good).await;
        assert_eq!(peer.recv().await, Frame::response(1, "1"));
        rig.finish().await;
    }
}

#[tokio::test]
async fn any_number_of_elements_is_taken_and_what_is_behind_them_ignored() {
    for side in SIDES {
        let rig = Rig::new(side).await;
        let mut peer = rig.link().await;
        peer.send_message(merge(0, &[])).await;
        peer.fence().await;
        peer.send_message(merge(1, &[echo(7)])).await;
        assert_eq!(peer.recv().await, Frame::response(7, "7"));

        let elements: Vec<_> = (1..=100).map(echo).collect();
        peer.send_message(merge(100, &elements)).await;
        let mut answered = Vec::new();
        while answered.len() < 100 {
            answered.push(peer.recv().await);
        }
        answered.sort_by_key(|frame| frame.mux);
        let wanted: Vec<_> = (1..=100_u64).map(|mux| Frame::response(mux, mux.to_string())).collect();
        assert_eq!(answered, wanted);

        peer.send_message([merge(1, &[echo(8)]), vec![0xc1; 20]].concat()).await;
        assert_eq!(peer.recv().await, Frame::response(8, "8"));
        peer.send_message(merge(1, &[echo(9), echo(10)])).await;
        assert_eq!(peer.recv().await, Frame::response(9, "9"));
        peer.fence().await;
        rig.finish().await;
    }
}

#[tokio::test]
async fn a_merge_in_a_merge_is_ignored() {
    for side in SIDES {
        let rig = Rig::new(side).await;
        let mut peer = rig.link().await;
        let inner = merge(2, &[echo(1), echo(2)]);
        peer.send_message(merge(3, &[echo(3), inner, echo(4)])).await;
        let mut answered = [peer.recv().await.mux, peer.recv().await.mux];
        answered.sort_unstable();
        assert_eq!(answered, [3, 4]);
        peer.fence().await;
        rig.finish().await;
    }
}

#[tokio::test]
async fn a_handshake_message_in_a_merge_is_no_handshake() {
    let rig = Rig::new(SIDES[0]).await;
    let mut peer = rig.link().await;
    let connect = rig.script.hello().connect();
    let response = grid_tests::raw::connect_response("no", None);
    peer.send_message(merge(2, &[connect.encode(), response.encode()])).await;
    peer.send(&connect.flags(flag::CRC)).await;
    peer.fence().await;
    rig.finish().await;
}

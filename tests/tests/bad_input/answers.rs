//! What the node answers to requests, usual and odd ones.

use grid::RemoteError;
use grid_tests::raw::{ECHO, Frame, GATE, Rig, SIDES, Setup, Side, Visit, encode_value, flag, map, op};

#[grid::service(id = 0)]
trait Places {
    #[rpc(id = 30)]
    async fn echo(&self, byte: u8) -> u8;
    #[rpc(id = 31)]
    async fn fail(&self) -> Result<(), RemoteError>;
    #[rpc(id = 32)]
    async fn kaboom(&self);
    #[rpc(id = 33)]
    async fn nothing(&self);
}

struct Place;

impl Places for Place {
    async fn echo(&self, byte: u8) -> u8 {
        byte
    }

    async fn fail(&self) -> Result<(), RemoteError> {
        Err("failed".into())
    }

    async fn kaboom(&self) {
        panic!("kaboom")
    }

    async fn nothing(&self) {}
}

#[tokio::test]
async fn reply_never_carries_the_subroute_flag() {
    for (side, caps) in [(Side::Accepts, None), (Side::Dials, None), (Side::Accepts, Some(15))] {
        let rig = Rig::with(side, caps, |builder| builder.serve_at("a/b", PlacesServer::new(Place))).await;
        let mut peer = rig.link().await;
        let answers = [
            (30, "a/b", op::RESPONSE, 0, "\u{7}"),
            (31, "a/b", op::RESPONSE, flag::ERROR, "failed"),
            (32, "a/b", op::RESPONSE, flag::ERROR, "handleMessages: panic recovered: kaboom"),
            (33, "a/b", op::RESPONSE, flag::ZERO, ""),
            (30, "a/c", op::MUX_CONNECT_ERROR, 0, "Invalid Handler for type: [30 0 "),
            (34, "a/b", op::MUX_CONNECT_ERROR, 0, "Invalid Handler for type: [34 0 "),
            (30, "", op::MUX_CONNECT_ERROR, 0, "Invalid Handler for type: [30 0 "),
            (30, "a/b/", op::MUX_CONNECT_ERROR, 0, "Invalid Handler for type: [30 0 "),
        ];
        for (handler, route, op, flags, text) in answers {
            peer.send(&Frame::request(4, handler, [7]).under(route)).await;
            let answer = peer.recv().await;
            assert_eq!((answer.op, answer.flags & !flag::TRAILER), (op, flags | flag::CRC | flag::EOF), "{answer:?}");
            assert_eq!((answer.mux, answer.subroute), (4, None));
            assert!(answer.error_text().starts_with(text), "{answer:?}");
            // Nor does it carry the trailer of a v1 peer, which would be none.
            assert!(caps.is_some() || answer.trailer.is_empty());
        }
        rig.finish().await;
    }
}

#[tokio::test]
async fn an_answer_copies_the_number_of_its_request_and_none_of_its_flags() {
    for side in SIDES {
        let rig = Rig::new(side).await;
        let mut peer = rig.link().await;
        let stray = [0, flag::STATELESS, flag::ERROR, flag::ZERO, 0x80, !(flag::SUBROUTE | flag::CRC)];
        for (mux, flags) in [0, 1, 5, 6, 1 << 33, u64::MAX].into_iter().zip(stray) {
            for seq in [0, 7, u32::MAX] {
                let request = Frame { seq, ..Frame::request(mux, ECHO, "hello").flags(flags) };
                peer.send(&request).await;
                assert_eq!(peer.recv().await, Frame { seq, ..Frame::response(mux, "hello") });
            }
        }
        peer.fence().await;
        rig.finish().await;
    }
}

#[tokio::test]
async fn a_request_without_the_flag_of_its_end_is_answered_the_same() {
    for side in SIDES {
        let rig = Rig::new(side).await;
        let mut peer = rig.link().await;
        let request = Frame::request(3, ECHO, "hello");
        peer.send(&Frame { flags: flag::CRC, ..request }).await;
        assert_eq!(peer.recv().await, Frame::response(3, "hello"));
        let refused = Frame { flags: flag::CRC, ..Frame::request(3, 60, "") };
        peer.send(&refused).await;
        let text = "Invalid Handler for type: 60";
        assert_eq!(peer.recv().await, Frame { op: op::MUX_CONNECT_ERROR, ..refused }.payload(error(text)));
        rig.finish().await;
    }
}

fn error(text: &str) -> Vec<u8> {
    map([("Error", text.into())])
}

#[tokio::test]
async fn a_refusal_sends_the_numbers_and_flags_of_its_request_back() {
    for side in SIDES {
        let rig = Rig::new(side).await;
        let mut peer = rig.link().await;
        let odd = flag::STATELESS | flag::ERROR | flag::ZERO | 0x80;
        for (handler, text) in [
            (60, "Invalid Handler for type: 60"),
            (0, "Invalid Handler"),
            (80, "Invalid Handler"),
            (255, "Invalid Handler"),
        ] {
            for flags in [0, odd] {
                let request =
                    Frame { seq: 9, deadline_ms: 1234, ..Frame::request(u64::MAX, handler, "x").flags(flags) };
                peer.send(&request).await;
                let refusal = Frame { op: op::MUX_CONNECT_ERROR, ..request }.payload(error(text));
                assert_eq!(peer.recv().await, refusal);
            }
        }
        rig.finish().await;
    }
}

#[tokio::test]
async fn two_requests_of_one_mux_id_are_both_answered() {
    for side in SIDES {
        let rig = Rig::new(side).await;
        let mut peer = rig.link().await;
        for payload in ["one", "two"] {
            peer.send(&Frame::request(6, GATE, payload)).await;
            rig.gate.expect(Visit::Started, payload).await;
        }
        peer.send(&Frame::request(6, ECHO, "three")).await;
        assert_eq!(peer.recv().await, Frame::response(6, "three"));
        rig.gate.let_through(2);
        let mut answers = [peer.recv().await, peer.recv().await];
        answers.sort_by_key(|answer| answer.payload.clone());
        assert_eq!(answers, [Frame::response(6, "one"), Frame::response(6, "two")]);
        peer.fence().await;
        rig.finish().await;
    }
}

#[tokio::test]
async fn a_quick_answer_overtakes_a_slow_one() {
    for side in SIDES {
        let rig = Rig::new(side).await;
        let mut peer = rig.link().await;
        peer.send_merged(&[Frame::request(1, GATE, "slow"), Frame::request(2, ECHO, "quick")]).await;
        assert_eq!(peer.recv().await, Frame::response(2, "quick"));
        rig.gate.let_through(1);
        assert_eq!(peer.recv().await, Frame::response(1, "slow"));
        rig.finish().await;
    }
}

#[tokio::test]
async fn an_answer_has_the_checksum_of_its_own_side_whatever_the_request_has() {
    for side in SIDES {
        for (scheme, own) in [("http", flag::CRC), ("https", 0)] {
            let rig = Setup { scheme, ..Setup::new(side) }.start(|builder| builder).await;
            let mut peer = rig.link().await;
            for others in [flag::CRC, 0] {
                let with = |frame: Frame, crc: u8| frame.bare().flags(crc);
                peer.send(&with(Frame::request(1, ECHO, "x"), others)).await;
                assert_eq!(peer.recv().await, with(Frame::response(1, "x"), own));
                let unknown = Frame::request(2, 60, "x");
                peer.send(&with(unknown.clone(), others)).await;
                assert_eq!(peer.recv().await.flags, flag::EOF | own);
                peer.send(&with(Frame::new(op::MUX_CLIENT_MSG, 2), others)).await;
                assert_eq!(peer.recv().await, with(Frame::new(op::DISCONNECT_CLIENT_MUX, 2), own));
            }
            peer.fence().await;
            rig.finish().await;
        }
    }
}

#[tokio::test]
async fn no_deadline_is_none_and_a_passed_one_ends_the_handler_without_a_word() {
    for side in SIDES {
        let rig = Rig::new(side).await;
        let mut peer = rig.link().await;
        peer.send(&Frame { deadline_ms: 0, ..Frame::request(1, GATE, "for ever") }).await;
        rig.gate.expect(Visit::Started, "for ever").await;
        peer.send(&Frame { deadline_ms: 20, ..Frame::request(2, GATE, "short") }).await;
        rig.gate.expect(Visit::Started, "short").await;
        rig.gate.expect(Visit::Dropped, "short").await;
        peer.fence().await;
        rig.gate.let_through(1);
        assert_eq!(peer.recv().await, Frame::response(1, "for ever"));
        peer.send(&Frame { deadline_ms: u32::MAX, ..Frame::request(3, ECHO, "x") }).await;
        assert_eq!(peer.recv().await, Frame::response(3, "x"));
        rig.finish().await;
    }
}

#[tokio::test]
async fn an_error_text_is_its_own_and_nothing_comes_after_it() {
    for side in SIDES {
        let rig = Rig::new(side).await;
        let mut peer = rig.link().await;
        let payloads: Vec<_> = (0..51_u64).map(|mux| "x".repeat(usize::try_from(500 - 9 * mux).unwrap())).collect();
        let requests: Vec<_> = (0..).zip(&payloads).map(|(mux, payload)| Frame::request(mux, 11, payload)).collect();
        peer.send_merged(&requests).await;
        let mut answers = peer.recv_to_fence().await;
        while answers.len() < requests.len() {
            answers.push(peer.recv().await);
        }
        answers.sort_by_key(|answer| answer.mux);
        for (answer, (mux, payload)) in answers.into_iter().zip((0..).zip(&payloads)) {
            assert_eq!(answer, Frame::response(mux, format!("boom: {payload}")).flags(flag::ERROR));
        }
        peer.fence().await;
        rig.finish().await;
    }
}

#[tokio::test]
async fn calls_beyond_the_limit_are_refused_at_once_and_the_others_go_on() {
    for (side, caps) in [(Side::Accepts, None), (Side::Dials, Some(15))] {
        let rig = Rig::with(side, caps, |builder| builder.limits(|limits| limits.calls_in_max = 2)).await;
        let mut peer = rig.link().await;
        for mux in [1, 2] {
            peer.send(&Frame::request(mux, GATE, mux.to_string())).await;
            rig.gate.expect(Visit::Started, &mux.to_string()).await;
        }
        for handler in [GATE, ECHO] {
            peer.send(&Frame::request(3, handler, "")).await;
            let refused = peer.recv().await;
            assert_eq!((refused.op, refused.mux), (op::MUX_CONNECT_ERROR, 3));
            assert_eq!(refused.error_text(), "too many calls are in flight");
            let reason = rmpv::Value::Map(vec![(3.into(), 4.into())]);
            assert_eq!(refused.trailer, if caps.is_some() { encode_value(&reason) } else { vec![] });
        }
        rig.gate.let_through(2);
        let mut answers = [peer.recv().await, peer.recv().await];
        answers.sort_by_key(|answer| answer.mux);
        assert_eq!(answers, [Frame::response(1, "1"), Frame::response(2, "2")]);
        peer.send(&Frame::request(3, ECHO, "room again")).await;
        assert_eq!(peer.recv().await, Frame::response(3, "room again"));
        rig.finish().await;
    }
}

//! The WebSocket protocol itself, used well and badly.

use grid::{CallError, LinkError};
use grid_tests::raw::{ECHO, Frame, LengthForm, RawPeer, Rig, SIDES, Side, WsFrame, frames_of, opcode};

fn request() -> Vec<u8> {
    Frame::request(1, ECHO, "hello").encode()
}

fn answer() -> Frame {
    Frame::response(1, "hello")
}

#[tokio::test]
async fn text_and_pong_frames_are_skipped() {
    for side in SIDES {
        let rig = Rig::new(side).await;
        let mut peer = rig.link().await;
        for (code, payload) in [
            (opcode::TEXT, &b""[..]),
            (opcode::TEXT, b"hello"),
            (opcode::TEXT, b"\xff\xfe"),
            (opcode::PONG, b""),
            (opcode::PONG, b"unasked"),
        ] {
            peer.send_ws(&peer.ws(code, payload)).await;
            peer.send_message(request()).await;
            assert_eq!(peer.recv().await, answer());
        }
        let first = WsFrame { fin: false, ..peer.ws(opcode::TEXT, "in two ") };
        peer.send_ws(&first).await;
        peer.send_ws(&peer.ws(opcode::CONTINUATION, "parts")).await;
        peer.fence().await;
        rig.finish().await;
    }
}

#[tokio::test]
async fn a_ping_is_answered_with_its_payload_also_in_the_midst_of_traffic() {
    for side in SIDES {
        let rig = Rig::new(side).await;
        let mut peer = rig.link().await;
        for size in [0, 1, 124, 125] {
            let payload = vec![size; size.into()];
            let ping = peer.ws(opcode::PING, &payload).encode(LengthForm::Shortest);
            let call = peer.ws(opcode::BINARY, request()).encode(LengthForm::Shortest);
            // In one segment: between two calls.
            peer.send_bytes(&[call.clone(), ping, call].concat()).await;
            let (mut pongs, mut answers) = (Vec::new(), Vec::new());
            while pongs.is_empty() || answers.len() < 2 {
                let frame = peer.recv_ws().await;
                match frame.opcode {
                    opcode::PONG => pongs.push(frame.payload),
                    _ => answers.extend(frames_of(&frame.payload).unwrap()),
                }
            }
            assert_eq!((pongs, answers), (vec![payload], vec![answer(); 2]));
            peer.fence().await;
        }
        rig.finish().await;
    }
}

#[tokio::test]
async fn fragments_with_control_frames_between_them_are_one_message() {
    for side in SIDES {
        let rig = Rig::new(side).await;
        let mut peer = rig.link().await;
        let message = request();
        let fragment =
            |peer: &RawPeer, code, from: usize, to: usize, fin| WsFrame { fin, ..peer.ws(code, &message[from..to]) };
        peer.send_ws(&fragment(&peer, opcode::BINARY, 0, 3, false)).await;
        peer.send_ws(&peer.ws(opcode::PING, "between")).await;
        let pong = peer.recv_ws().await;
        assert_eq!((pong.opcode, pong.payload), (opcode::PONG, b"between".to_vec()));
        peer.send_ws(&fragment(&peer, opcode::CONTINUATION, 3, 3, false)).await;
        peer.send_ws(&peer.ws(opcode::PONG, "unasked")).await;
        peer.send_ws(&fragment(&peer, opcode::CONTINUATION, 3, 9, false)).await;
        peer.send_ws(&fragment(&peer, opcode::CONTINUATION, 9, message.len(), true)).await;
        assert_eq!(peer.recv().await, answer());
        peer.fence().await;
        rig.finish().await;
    }
}

#[tokio::test]
async fn a_length_in_a_longer_form_is_taken_and_so_are_single_bytes() {
    for side in SIDES {
        let rig = Rig::new(side).await;
        let mut peer = rig.link().await;
        for form in [LengthForm::Two, LengthForm::Eight] {
            let frame = peer.ws(opcode::BINARY, request());
            peer.send_bytes(&frame.encode(form)).await;
            assert_eq!(peer.recv().await, answer());
        }
        for byte in peer.ws(opcode::BINARY, request()).encode(LengthForm::Shortest) {
            peer.send_bytes(&[byte]).await;
        }
        assert_eq!(peer.recv().await, answer());
        // A mask of zeros is a mask.
        let frame = peer.ws(opcode::BINARY, request());
        let mask = frame.mask.map(|_| [0; 4]);
        peer.send_ws(&WsFrame { mask, ..frame }).await;
        assert_eq!(peer.recv().await, answer());
        rig.finish().await;
    }
}

#[tokio::test]
async fn a_close_is_answered_with_its_code_and_ends_the_link() {
    for side in SIDES {
        let rig = Rig::new(side).await;
        let codes = [vec![], vec![3, 232], vec![3, 233], vec![15, 160], b"\x03\xe8bye".to_vec(), vec![3, 232, 0xff]];
        for payload in codes {
            eprintln!("{side:?} {payload:?}");
            let mut peer = rig.link().await;
            let call = rig.call(1, "x");
            peer.recv().await;
            peer.send_ws(&peer.ws(opcode::CLOSE, &payload)).await;
            let close = peer.recv_ws().await;
            // Without the reason.
            assert_eq!((close.opcode, &*close.payload), (opcode::CLOSE, payload.get(..2).unwrap_or_default()));
            assert_eq!(peer.try_recv_ws().await, None);
            assert!(matches!(call.await.unwrap(), Err(CallError::Disconnected(_))));
            assert!(matches!(rig.ended().await, LinkError::Closed(_)));
        }
        rig.finish().await;
    }
}

type Bad = (&'static str, fn(&RawPeer) -> WsFrame);

const BAD: [Bad; 17] = [
    ("wrong masking", |peer| {
        let good = peer.ws(opcode::BINARY, request());
        WsFrame { mask: good.mask.map_or(Some([1; 4]), |_| None), ..good }
    }),
    ("wrong masking of a ping", |peer| {
        let good = peer.ws(opcode::PING, "x");
        WsFrame { mask: good.mask.map_or(Some([1; 4]), |_| None), ..good }
    }),
    ("rsv1", |peer| WsFrame { rsv: 4, ..peer.ws(opcode::BINARY, request()) }),
    ("rsv2", |peer| WsFrame { rsv: 2, ..peer.ws(opcode::BINARY, request()) }),
    ("rsv3", |peer| WsFrame { rsv: 1, ..peer.ws(opcode::BINARY, request()) }),
    ("rsv of a ping", |peer| WsFrame { rsv: 4, ..peer.ws(opcode::PING, "x") }),
    ("opcode 3", |peer| peer.ws(3, request())),
    ("opcode 7", |peer| peer.ws(7, "")),
    ("opcode 11", |peer| peer.ws(11, "")),
    ("opcode 15", |peer| peer.ws(15, "")),
    ("a stray continuation", |peer| peer.ws(opcode::CONTINUATION, request())),
    ("a stray continuation to be continued", |peer| WsFrame { fin: false, ..peer.ws(opcode::CONTINUATION, "") }),
    ("a ping in fragments", |peer| WsFrame { fin: false, ..peer.ws(opcode::PING, "x") }),
    ("a close in fragments", |peer| WsFrame { fin: false, ..peer.ws(opcode::CLOSE, "") }),
    ("a ping of 126 bytes", |peer| peer.ws(opcode::PING, [0; 126])),
    ("a pong of 1000 bytes", |peer| peer.ws(opcode::PONG, [0; 1000])),
    ("a close of one byte", |peer| peer.ws(opcode::CLOSE, [3])),
];

#[tokio::test]
async fn a_fault_of_the_websocket_ends_the_link_without_a_close() {
    for side in SIDES {
        let rig = Rig::new(side).await;
        for (name, frame) in BAD {
            eprintln!("{side:?}: {name}");
            let mut peer = rig.link().await;
            peer.send_ws(&frame(&peer)).await;
            assert_eq!(peer.try_recv_ws().await, None);
            rig.violated().await;
        }
        rig.finish().await;
    }
}

#[tokio::test]
async fn a_new_message_within_a_fragmented_one_ends_the_link() {
    for side in SIDES {
        let rig = Rig::new(side).await;
        for code in [opcode::BINARY, opcode::TEXT] {
            let mut peer = rig.link().await;
            peer.send_ws(&WsFrame { fin: false, ..peer.ws(opcode::BINARY, "x") }).await;
            peer.send_ws(&peer.ws(code, "y")).await;
            assert_eq!(peer.try_recv_ws().await, None);
            rig.violated().await;
        }
        rig.finish().await;
    }
}

/// A link on which messages may have so many bytes.
async fn small(side: Side) -> Rig {
    Rig::with(side, None, |builder| builder.limits(|limits| limits.message_bytes_max = LIMIT)).await
}

const LIMIT: usize = 4096;

#[tokio::test]
async fn a_message_up_to_the_limit_is_taken() {
    for side in SIDES {
        let rig = small(side).await;
        let mut peer = rig.link().await;
        let overhead = Frame::request(1, ECHO, [0; 3000]).encode().len() - 3000;
        let payload = vec![0x61; LIMIT - overhead];
        let request = Frame::request(1, ECHO, &payload);
        assert_eq!(request.encode().len(), LIMIT);
        peer.send(&request).await;
        // Its answer is too large for a message, with what else may stand in one.
        let refused = peer.recv().await;
        assert!(refused.error_text().contains("more than a message may be"), "{refused:?}");
        let text = peer.ws(opcode::TEXT, &payload);
        peer.send_ws(&text).await;
        peer.fence().await;
        rig.finish().await;
    }
}

#[tokio::test]
async fn a_larger_message_ends_the_link_before_its_bytes_have_come() {
    for side in SIDES {
        let rig = small(side).await;
        let mut ended = 0;
        for claimed in [LIMIT as u64 + 1, 1 << 20, 1 << 32, 1 << 62, u64::MAX] {
            for code in [opcode::BINARY, opcode::TEXT] {
                eprintln!("{side:?}: a claim of {claimed}");
                let mut peer = rig.link().await;
                let header = peer.ws(code, "").header(claimed, LengthForm::Eight);
                peer.send_bytes(&header).await;
                assert_eq!(peer.try_recv_ws().await, None);
                assert!(rig.violated().await.contains("beyond message_bytes_max"));
                ended += 1;
                assert_eq!(rig.connection().stats().limit_hits.message_bytes_max, ended);
            }
        }
        rig.finish().await;
    }
}

#[tokio::test]
async fn fragments_that_are_too_large_together_end_the_link() {
    for side in SIDES {
        let rig = small(side).await;
        let mut peer = rig.link().await;
        peer.send_ws(&WsFrame { fin: false, ..peer.ws(opcode::BINARY, [0; LIMIT / 2]) }).await;
        for _ in 0..2 {
            peer.send_ws(&WsFrame { fin: false, ..peer.ws(opcode::CONTINUATION, [0; LIMIT / 2]) }).await;
        }
        assert_eq!(peer.try_recv_ws().await, None);
        assert!(rig.violated().await.contains("beyond message_bytes_max"));
        assert_eq!(rig.connection().stats().limit_hits.message_bytes_max, 1);
        rig.finish().await;
    }
}

//! Conversations about the link itself.

use std::time::Duration;

use grid_tests::capture::{Capture, Conversation, Direction, Said};
use grid_tests::raw::{Frame, Head, Side, accept_key, encode_value, now_secs, op, time};
use rmpv::Value;

use crate::stage::{Ids, PARTS, Stage, assert_same, tell};

#[tokio::test]
async fn the_handshake_is_that_of_go_nodes() {
    let mut replayed = Vec::new();
    for capture in [Capture::plain(), Capture::tls()] {
        let conversation = named(&capture, "handshake");
        for part in PARTS {
            let stage = Stage::new(&capture, conversation, part).await;
            match stage.script.side {
                Side::Dials => dialling(&stage, conversation).await,
                Side::Accepts => accepting(&stage, conversation).await,
            }
            replayed.push(format!("handshake between {} and {}, {part:?}", capture.dialer, capture.acceptor));
        }
    }
    tell(&replayed, 4);
}

/// The node's request and first message are those of the capture; the script answers with the bytes of the capture.
async fn dialling(stage: &Stage, conversation: &Conversation) {
    let captured = conversation.heads();
    let mut peer = stage.script.stream().await;
    let request = peer.recv_head().await;
    assert_eq!(comparable(&request), comparable(&captured[0]));
    let nanos: i64 = request.header("X-Minio-Time").unwrap().parse().unwrap();
    assert!((nanos / 1_000_000_000).abs_diff(now_secs()) < 60, "{nanos}");
    let answer = captured[1].clone();
    let key = request.header("Sec-WebSocket-Key").unwrap();
    peer.send_bytes(&answer.with("Sec-WebSocket-Accept", &accept_key(key)).encode()).await;

    let [connect, response] = hellos(conversation);
    let sent = peer.recv().await;
    assert_eq!(header(&sent), header(&connect.frames[0]));
    let [mut sent, mut captured] = [&sent, &connect.frames[0]].map(|frame| fields(&frame.payload));
    let added = sent.split_off(captured.len());
    assert_eq!(added, [("Caps".into(), Value::from(31)), ("MaxMessage".into(), Value::from(32 << 20))]);
    assert!(sent[0].1.is_bin() && sent[0].1.as_slice().is_some_and(|id| id.len() == 16));
    for (sent, captured) in sent.iter_mut().zip(&mut captured) {
        if ["ID", "Time"].contains(&&*sent.0) {
            sent.1.clone_from(&captured.1);
        }
    }
    assert_eq!(sent, captured);
    peer.send_message(&response.bytes).await;
    peer.fence().await;
}

/// The script sends the bytes of the capture, with the clock set right; the node's answers are those of the capture.
async fn accepting(stage: &Stage, conversation: &Conversation) {
    let captured = conversation.heads();
    let mut peer = stage.script.stream().await;
    peer.send_bytes(&captured[0].encode()).await;
    let answer = peer.recv_head().await;
    assert_eq!(comparable(&answer), comparable(&captured[1]));
    assert_eq!(answer.header("Sec-WebSocket-Accept"), captured[1].header("Sec-WebSocket-Accept"));

    let [connect, response] = hellos(conversation);
    let old = Frame::decode(&connect.bytes).unwrap();
    let fields = fields(&old.payload).into_iter().map(|(key, value)| {
        let value = if key == "Time" { time(now_secs()) } else { value };
        (key.into(), value)
    });
    let payload = encode_value(&Value::Map(fields.collect()));
    peer.send(&old.payload(payload)).await;
    let (sent, captured) = (peer.recv().await, &response.frames[0]);
    assert_eq!(header(&sent), header(captured));
    // The id is the only difference: two bytes of header and key before it, sixteen of its own.
    let [sent, captured] = [&sent, captured].map(|frame| [&frame.payload[..6], &frame.payload[22..]].concat());
    assert_eq!(sent, captured);
    peer.fence().await;
}

#[tokio::test]
async fn pings_and_pongs_of_the_link_are_those_of_go_nodes() {
    let capture = Capture::plain();
    let conversation = named(&capture, "ping_pong_connection");
    for part in PARTS {
        let often = |builder: grid::ManagerBuilder| {
            builder.timeouts(|timeouts| timeouts.ping_interval = Duration::from_millis(20))
        };
        let stage = Stage::with(&capture, conversation, part, often).await;
        let mut peer = stage.script.link().await;
        let [own, others]: [Vec<_>; 2] = match part {
            Direction::FromClient => PARTS,
            Direction::FromServer => [Direction::FromServer, Direction::FromClient],
        }
        .map(|by| conversation.frames(by));
        let of = |frames: &[Frame], op| frames.iter().find(|frame| frame.op == op).cloned().expect("it was captured");

        peer.send(&of(&others, op::PING)).await;
        let mut pongs = Vec::new();
        while pongs.is_empty() || stage.connection().stats().last_ping.is_none() {
            let frame = peer.recv().await;
            if frame.op == op::PONG {
                pongs.push(frame);
                continue;
            }
            let ping = of(&own, op::PING);
            let at = frame.field("t").expect("a ping has a time");
            assert_eq!(frame.clone().payload(&ping.payload), ping);
            let pong = of(&others, op::PONG);
            let body = [("nf".into(), false.into()), ("e".into(), Value::Nil), ("t".into(), at)];
            peer.send(&pong.payload(encode_value(&Value::Map(body.into())))).await;
        }
        assert_same(pongs, vec![of(&own, op::PONG)], Ids::OfTheCapture);
    }
    tell(&PARTS.map(|part| format!("ping_pong_connection, {part:?}")), 2);
}

fn named<'a>(capture: &'a Capture, name: &str) -> &'a Conversation {
    capture.conversations.iter().find(|known| known.name == name).expect("it was captured")
}

fn hellos(conversation: &Conversation) -> [Said; 2] {
    let said: Vec<_> = conversation.said().collect();
    said.try_into().expect("a handshake is two messages")
}

/// All of a frame but its payload.
fn header(frame: &Frame) -> Frame {
    frame.clone().payload("")
}

fn fields(payload: &[u8]) -> Vec<(String, Value)> {
    let Ok(Value::Map(fields)) = rmpv::decode::read_value(&mut &*payload) else { panic!("no map: {payload:02x?}") };
    fields.into_iter().map(|(key, value)| (key.as_str().expect("a key is a text").to_owned(), value)).collect()
}

/// The first line, and the headers in any order and case, without the values that are new each time.
fn comparable(head: &Head) -> (String, Vec<(String, String)>) {
    let mut headers: Vec<_> = head.headers.iter().map(|(name, value)| (name.to_lowercase(), value.clone())).collect();
    for (name, value) in &mut headers {
        if ["sec-websocket-key", "sec-websocket-accept", "x-minio-time"].contains(&&**name) {
            *value = format!("{} characters", value.len());
        }
    }
    headers.sort();
    (head.line.clone(), headers)
}

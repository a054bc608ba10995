//! First messages that are odd and good.

use grid::State;
use grid_tests::raw::{
    ECHO, Frame, Head, Hello, LengthForm, RawPeer, Rig, Side, WsFrame, connect_response, encode_value, flag, frames_of,
    map, now_secs, op, opcode,
};
use rmpv::Value;

/// The node accepts this first message, and the link works.
async fn accepted(rig: &Rig, first: &[u8]) {
    let mut peer = rig.script.websocket().await;
    peer.send_message(first).await;
    assert_accepted(&mut peer).await;
}

async fn assert_accepted(peer: &mut RawPeer) {
    let answer = peer.recv().await;
    assert_eq!(answer.text("RejectedReason"), "");
    peer.send(&Frame::request(1, ECHO, "hello")).await;
    assert_eq!(peer.recv().await, Frame::response(1, "hello"));
}

#[tokio::test]
async fn any_layout_of_a_good_first_message_is_taken() {
    let rig = Rig::new(Side::Accepts).await;
    let good = rig.script.hello();
    let frame = good.connect();
    accepted(&rig, &frame.clone().flags(flag::CRC).encode()).await;
    accepted(&rig, &Frame { mux: 5, seq: 6, deadline_ms: 7, handler: 8, ..frame.clone() }.encode()).await;
    accepted(&rig, &[frame.encode(), vec![1, 2, 3]].concat()).await;

    let Hello { id, host, time, token, .. } = good.clone();
    let nested = Value::Array(vec![Value::Map(vec![(Value::Nil, 1.5.into())])]);
    let reordered =
        map([("Token", token), ("Zzz", nested), ("Time", time.clone()), ("Host", host.clone()), ("ID", id)]);
    accepted(&rig, &frame.clone().payload(reordered).encode()).await;
    accepted(&rig, &frame.clone().payload(map([("Host", host.clone()), ("Time", time)])).encode()).await;

    let secs = now_secs();
    let short = u32::try_from(secs).unwrap().to_be_bytes().to_vec();
    let packed = ((500_u64 << 34) | u64::try_from(secs).unwrap()).to_be_bytes().to_vec();
    let long = [&7_u32.to_be_bytes()[..], &secs.to_be_bytes()].concat();
    for official in [short, packed, long] {
        let hello = Hello { time: Value::Ext(-1, official), ..good.clone() };
        accepted(&rig, &hello.connect().encode()).await;
    }
    // The id with a longer header.
    let mut payload = vec![0x82, 0xa2, b'I', b'D', 0xc5, 0, 16];
    payload.extend([3; 16]);
    payload.extend(encode_value(&"Host".into()));
    payload.extend(encode_value(&host));
    payload[0] = 0x83;
    payload.extend(encode_value(&"Time".into()));
    payload.extend(encode_value(&grid_tests::raw::time(secs)));
    accepted(&rig, &frame.payload(payload).encode()).await;
    rig.finish().await;
}

#[tokio::test]
async fn capabilities_are_answered_with_the_nodes_own_and_a_v1_peer_with_none() {
    let rig = Rig::new(Side::Accepts).await;
    for (caps, answered) in [(None, None), (Some(0), None), (Some(1), Some(31)), (Some(u64::MAX), Some(31))] {
        let mut peer = rig.script.websocket().await;
        peer.send(&Hello { caps: caps.map(Value::from), ..rig.script.hello() }.connect()).await;
        let answer = peer.recv().await;
        assert_eq!(answer.field("Caps"), answered.map(Value::from), "{caps:?}");
    }
    rig.finish().await;
}

#[tokio::test]
async fn calls_right_behind_the_handshake_are_answered() {
    let rig = Rig::new(Side::Accepts).await;
    let mut peer = rig.script.websocket().await;
    let first = peer.ws(opcode::BINARY, rig.script.hello().connect().encode()).encode(LengthForm::Shortest);
    let call = peer.ws(opcode::BINARY, Frame::request(1, ECHO, "hello").encode()).encode(LengthForm::Shortest);
    peer.send_bytes(&[first, call.clone(), call].concat()).await;
    assert_eq!(peer.recv().await.op, op::CONNECT_RESPONSE);
    assert_eq!([peer.recv().await, peer.recv().await], [Frame::response(1, "hello"), Frame::response(1, "hello")]);
    rig.finish().await;

    let rig = Rig::new(Side::Dials).await;
    let mut peer = rig.script.websocket().await;
    rig.script.recv_connect(&mut peer).await;
    let answer = peer.ws(opcode::BINARY, connect_response("", None).encode()).encode(LengthForm::Shortest);
    let call = peer.ws(opcode::BINARY, Frame::request(1, ECHO, "hello").encode()).encode(LengthForm::Shortest);
    peer.send_bytes(&[answer, call].concat()).await;
    assert_eq!(peer.recv().await, Frame::response(1, "hello"));
    rig.finish().await;
}

#[tokio::test]
async fn what_is_sent_without_waiting_for_the_upgrade_is_not_lost() {
    let rig = Rig::new(Side::Accepts).await;
    let mut peer = rig.script.stream().await;
    let first = peer.ws(opcode::BINARY, rig.script.hello().connect().encode()).encode(LengthForm::Shortest);
    peer.send_bytes(&[rig.script.upgrade().encode(), first].concat()).await;
    assert_eq!(peer.recv_head().await.status(), 101);
    assert_accepted(&mut peer).await;

    // The same from the other end: the 101 and what follows in one segment would need the name of the dialler, so a
    // text has to do.
    rig.finish().await;
    let rig = Rig::new(Side::Dials).await;
    let mut peer = rig.script.stream().await;
    let request = peer.recv_head().await;
    let text = peer.ws(opcode::TEXT, "early").encode(LengthForm::Shortest);
    let answer = peer.ws(opcode::BINARY, connect_response("", None).encode()).encode(LengthForm::Shortest);
    peer.send_bytes(&[Head::switching(&request).encode(), text, answer].concat()).await;
    rig.script.recv_connect(&mut peer).await;
    peer.fence().await;
    rig.finish().await;
}

#[tokio::test]
async fn control_and_text_frames_in_the_handshake_are_taken_and_so_are_fragments() {
    let rig = Rig::new(Side::Accepts).await;
    let mut peer = rig.script.websocket().await;
    peer.send_ws(&peer.ws(opcode::TEXT, "hello")).await;
    peer.send_ws(&peer.ws(opcode::PING, "there?")).await;
    let pong = peer.recv_ws().await;
    assert_eq!((pong.opcode, &*pong.payload), (opcode::PONG, &b"there?"[..]));
    let first = rig.script.hello().connect().encode();
    let (begin, end) = first.split_at(30);
    peer.send_ws(&WsFrame { fin: false, ..peer.ws(opcode::BINARY, begin) }).await;
    peer.send_ws(&peer.ws(opcode::PING, "still?")).await;
    assert_eq!(peer.recv_ws().await.payload, b"still?");
    peer.send_ws(&peer.ws(opcode::CONTINUATION, end)).await;
    let answer = peer.recv_ws().await;
    assert_eq!(frames_of(&answer.payload).unwrap()[0].op, op::CONNECT_RESPONSE);
    peer.fence().await;
    rig.finish().await;
}

#[tokio::test]
async fn a_newer_link_of_a_peer_ends_the_older_one_and_its_calls() {
    let rig = Rig::new(Side::Accepts).await;
    let mut old = rig.link().await;
    let call = rig.call(1, "x");
    let mux = old.recv().await.mux;
    old.send(&Frame::request(1, grid_tests::raw::GATE, "x")).await;
    rig.gate.expect(grid_tests::raw::Visit::Started, "x").await;

    let mut new = rig.link().await;
    old.closed().await;
    assert!(matches!(call.await.unwrap(), Err(grid::CallError::Disconnected(_))));
    rig.gate.expect(grid_tests::raw::Visit::Dropped, "x").await;
    new.send(&Frame::response(mux, "late")).await;
    new.fence().await;
    assert_eq!(rig.connection().state(), State::Connected);
    let call = rig.call(1, "y");
    let mux = new.recv().await.mux;
    new.send(&Frame::response(mux, "z")).await;
    assert_eq!(call.await.unwrap().unwrap(), "z");
    assert_eq!(rig.connection().stats().reconnects, 1);
    rig.finish().await;
}

//! Peers that a node does not let in.

use std::future::ready;

use grid::{Claim, Manager, ManagerBuilder, State};
use grid_tests::capture::Vector;
use grid_tests::raw::{
    Frame, Hello, LengthForm, RawPeer, Rig, Script, Side, connect_response, flag, listen, now_secs, op, opcode, time,
};
use rmpv::Value;

/// A node that wants a token, with a v1 peer that dials it or that it dials.
async fn strict(side: Side) -> Rig {
    let validate = |claim: Claim| {
        ready(match &*claim.token {
            "debug" => Ok(()),
            _ => Err(format!("{} is not debug", claim.token)),
        })
    };
    Rig::with(side, None, |builder| builder.token_validator(validate)).await
}

/// Dials the node, whose business that may be or not, and says this first.
async fn rejected(script: &Script, first: &[u8]) -> String {
    let mut peer = dial(script).await;
    peer.send_message(first).await;
    let answer = peer.recv().await;
    let reason = answer.text("RejectedReason");
    // As v1 peers write it, but for the id.
    let id = answer.field("ID").filter(|id| id.as_slice().is_some_and(|id| id.len() == 16)).expect("an id");
    let wanted = connect_response(&reason, None);
    let payload = wanted.payload.iter().enumerate().map(|(place, byte)| match place {
        6..22 => id.as_slice().expect("just looked at")[place - 6],
        _ => *byte,
    });
    assert_eq!(answer, wanted.clone().payload(payload.collect::<Vec<_>>()));
    assert!(!reason.is_empty());
    // It is for the rejecting side to close.
    peer.closed().await;
    eprintln!("{reason}");
    reason
}

async fn dial(script: &Script) -> RawPeer {
    let (name, node, listener) = (script.name.clone(), script.node.clone(), listen(script.window));
    Script { side: Side::Accepts, name, node, listener, ..*script }.websocket().await
}

async fn rejected_hello(script: &Script, hello: &Hello) -> String {
    rejected(script, &hello.connect().encode()).await
}

#[tokio::test]
async fn what_is_no_first_message_is_rejected_with_a_reason() {
    let rig = strict(Side::Accepts).await;
    let good = rig.script.hello().connect();
    let mut wrong_crc = good.clone().flags(flag::CRC).encode();
    *wrong_crc.last_mut().unwrap() ^= 1;
    for unreadable in [&b"\xc1"[..], b"", b"\x97", b"hello", &wrong_crc, &good.encode()[..20]] {
        let reason = rejected(&rig.script, unreadable).await;
        assert!(reason.contains(" connect: "), "{reason}");
    }
    for vector in Vector::of_kind("reject") {
        let reason = rejected(&rig.script, &vector.bytes()).await;
        assert!(reason.contains(" connect: "), "{reason}");
    }
    let ops = [(op::REQUEST, "Request"), (op::PING, "Ping"), (op::CONNECT_RESPONSE, "ConnectResponse")];
    for (op, name) in ops {
        let first = Frame { op, ..good.clone() };
        assert_eq!(rejected(&rig.script, &first.encode()).await, format!("unexpected connect op: {name}"));
    }
    for (op, _) in [(op::MERGED, 0), (0, 0), (255, 0)] {
        let reason = rejected(&rig.script, &Frame { op, ..good.clone() }.encode()).await;
        assert!(reason.starts_with("unexpected connect op: "), "{reason}");
    }
    rig.link().await.fence().await;
    rig.finish().await;
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_rejected_with_a_reason() {
    let rig = strict(Side::Accepts).await;
    let good = || rig.script.hello();
    let mut bodies: Vec<_> = [&b"\xc1"[..], b"", b"\x84", b"\xa1x", b"\x81\x01\x02", b"\xdf\xff\xff\xff\xff\xa1x\x01"]
        .map(|body| Frame::new(op::CONNECT, 0).bare().payload(body))
        .into();
    for id in [Value::from("x".repeat(16)), Value::Binary(vec![0; 15]), Value::Binary(vec![]), Value::Nil] {
        bodies.push(Hello { id, ..good() }.connect());
    }
    for wrong in [Value::Nil, 7.into(), Value::Binary(vec![b'x'])] {
        bodies.push(Hello { host: wrong.clone(), ..good() }.connect());
        bodies.push(Hello { token: wrong, ..good() }.connect());
    }
    for wrong in [now_secs().into(), Value::Nil, Value::Ext(5, vec![0; 11]), Value::Ext(6, vec![0; 12])] {
        bodies.push(Hello { time: wrong, ..good() }.connect());
    }
    for wrong in [Value::Nil, "15".into(), (-1).into(), 1.5.into()] {
        bodies.push(Hello { caps: Some(wrong), ..good() }.connect());
    }
    let refused = Vector::of_kind("reject_payload").into_iter().filter(|vector| vector.name.contains("connectreq"));
    bodies.extend(refused.map(|vector| Frame::new(op::CONNECT, 0).bare().payload(vector.bytes())));
    for body in bodies {
        let reason = rejected(&rig.script, &body.encode()).await;
        assert!(reason.starts_with("error parsing connectReq: "), "{reason}");
    }
    rig.link().await.fence().await;
    rig.finish().await;
}

#[tokio::test]
async fn each_rejection_has_the_text_of_v1() {
    let rig = strict(Side::Accepts).await;
    let good = || rig.script.hello();
    for host in ["http://10.0.0.1:9000", &rig.script.node, "", &format!("{}/", rig.script.name)] {
        let reason = rejected_hello(&rig.script, &Hello { host: host.into(), ..good() }).await;
        assert_eq!(reason, format!("unknown incoming host: {host}"));
    }
    // v1 has no guests.
    let reason = rejected_hello(&rig.script, &Hello { host: GUEST.into(), ..good() }).await;
    assert_eq!(reason, format!("unknown incoming host: {GUEST}, and this node lets no guests in"));
    for off in [-310, 310, -100_000_000_000, i64::MAX / 2] {
        let reason = rejected_hello(&rig.script, &Hello { time: time(now_secs() + off), ..good() }).await;
        assert!(reason.starts_with("time difference too large between servers: "), "{reason}");
    }
    for token in ["", "Debug", "debug "] {
        let reason = rejected_hello(&rig.script, &Hello { token: token.into(), ..good() }).await;
        assert_eq!(reason, format!("auth token: {token} is not debug"));
    }
    rig.link().await.fence().await;
    rig.finish().await;
}

const GUEST: &str = "guest://0123456789abcdef0123456789abcdef";

/// The name of a guest begins with a host only if its certificate does.
#[tokio::test]
async fn a_guest_cannot_give_itself_a_host() {
    let rig = Rig::with(Side::Accepts, None, |builder: ManagerBuilder| builder.allow_guests([])).await;
    let digits = GUEST.trim_start_matches("guest://");
    for name in ["", "1", "billing.example", &format!("billing.example/{digits}"), "\n", &digits.to_uppercase()[1..]] {
        let host = format!("guest://{name}");
        let reason = rejected_hello(&rig.script, &Hello { host: (&*host).into(), ..rig.script.hello() }).await;
        assert_eq!(reason, format!("{} is no name that a guest can give itself", host.escape_debug()));
    }
    rig.link().await.fence().await;
    rig.finish().await;
}

#[tokio::test]
async fn a_peer_that_should_be_dialled_may_not_dial() {
    let rig = strict(Side::Dials).await;
    let reason = rejected_hello(&rig.script, &rig.script.hello()).await;
    assert_eq!(reason, "grid: expected to be client side, not server side");
    let mut peer = rig.link().await;
    let reason = rejected_hello(&rig.script, &rig.script.hello()).await;
    assert_eq!(reason, "grid: expected to be client side, not server side");
    peer.fence().await;
    assert_eq!(rig.connection().state(), State::Connected);
    rig.finish().await;
}

#[tokio::test]
async fn faults_are_found_in_the_order_of_v1() {
    let rig = strict(Side::Dials).await;
    let late = time(now_secs() - 1000);
    let mut hello = Hello { host: "x".into(), time: late, token: "bad".into(), ..rig.script.hello() };
    assert!(rejected_hello(&rig.script, &hello).await.starts_with("unknown incoming host"));
    hello.host = rig.script.name.as_str().into();
    assert!(rejected_hello(&rig.script, &hello).await.starts_with("time difference"));
    hello.time = time(now_secs());
    assert!(rejected_hello(&rig.script, &hello).await.starts_with("auth token"));
    hello.token = "debug".into();
    assert!(rejected_hello(&rig.script, &hello).await.starts_with("grid: expected to be client side"));
    rig.finish().await;
}

#[tokio::test]
async fn a_rejected_hello_of_a_connected_peer_does_not_touch_its_link() {
    let rig = strict(Side::Accepts).await;
    let mut peer = rig.link().await;
    rejected_hello(&rig.script, &Hello { token: "bad".into(), ..rig.script.hello() }).await;
    peer.fence().await;
    assert_eq!(rig.connection().state(), State::Connected);
    rig.finish().await;
}

#[tokio::test]
async fn a_node_that_leaves_lets_nobody_in() {
    let mut rig = strict(Side::Accepts).await;
    rig.finish_witness().await;
    let mut peer = rig.link().await;
    peer.send(&Frame::request(1, grid_tests::raw::GATE, "running")).await;
    rig.gate.expect(grid_tests::raw::Visit::Started, "running").await;
    let node: Manager = rig.node.clone();
    let shutdown = tokio::spawn(async move { node.shutdown().await });
    peer.fence().await;
    let reason = rejected_hello(&rig.script, &rig.script.hello()).await;
    assert_eq!(reason, "this node is about to leave");
    rig.gate.let_through(1);
    assert_eq!(peer.recv().await, Frame::response(1, "running"));
    peer.closed().await;
    shutdown.await.unwrap();
}

#[tokio::test]
async fn a_rejection_is_readable_though_more_was_sent_behind_the_first_message() {
    let rig = strict(Side::Accepts).await;
    for more in [1, 1000, 100_000] {
        let mut peer = dial(&rig.script).await;
        let hello = Hello { token: "bad".into(), ..rig.script.hello() };
        let first = peer.ws(opcode::BINARY, hello.connect().encode()).encode(LengthForm::Shortest);
        peer.send_bytes(&[first, vec![0; more]].concat()).await;
        assert_eq!(peer.recv().await.text("RejectedReason"), "auth token: bad is not debug");
        peer.closed().await;
    }
    rig.finish().await;
}

//! A node that dials, and what it makes of the answers.

use std::future::ready;
use std::time::Duration;

use futures_util::StreamExt;
use grid::{LinkError, Manager, ManagerBuilder, State};
use grid_tests::mesh::{Place, only};
use grid_tests::raw::{
    Frame, LengthForm, Rig, Side, connect_response, dials, encode_value, flag, map, merge, op, opcode, within,
};
use rmpv::Value;

const REASONS: [&str; 8] = [
    "reading connect: EOF",
    "error parsing grid connect: msgp: too few bytes left to read object",
    "unexpected connect op: Request",
    "error parsing connectReq: msgp: too few bytes left to read object",
    "unknown incoming host: http://node:1",
    "time difference too large between servers: 5m1.5s",
    "auth token: jwt: expired",
    "grid: expected to be client side, not server side",
];

#[tokio::test]
async fn a_rejection_is_shown_with_its_reason_until_the_node_is_let_in() {
    let rig = Rig::new(Side::Dials).await;
    for reason in REASONS {
        let mut peer = rig.script.websocket().await;
        rig.script.recv_connect(&mut peer).await;
        peer.send(&connect_response(reason, None)).await;
        // A v1 dialler leaves it to the other side to close; grid does not wait for that.
        peer.closed().await;
        assert_eq!(rig.ended().await, LinkError::Rejected(reason.into()));
    }
    rig.link().await.fence().await;
    assert_eq!(rig.connection().state(), State::Connected);
    rig.finish().await;
}

#[tokio::test]
async fn an_answer_that_is_none_fails_the_attempt_and_the_node_tries_again() {
    let rig = Rig::new(Side::Dials).await;
    let good = connect_response("", None);
    let mut wrong_crc = good.clone().flags(flag::CRC).encode();
    *wrong_crc.last_mut().unwrap() ^= 1;
    let payload = |payload: &[u8]| good.clone().payload(payload).encode();
    let answers = [
        vec![0xc1],
        vec![],
        good.encode()[..30].to_vec(),
        wrong_crc,
        payload(b"\xc1"),
        payload(b""),
        payload(&map([("ID", "x".into()), ("Accepted", true.into())])),
        payload(&map([("Accepted", "yes".into())])),
        payload(&map([("Accepted", true.into()), ("Caps", "x".into())])),
        Frame { op: op::CONNECT, ..good.clone() }.encode(),
        Frame::request(1, 10, "too early").encode(),
        merge(1, &[good.encode()]),
        // Neither a yes nor a reason.
        payload(&encode_value(&Value::Map(vec![]))),
    ];
    for answer in answers {
        eprintln!("{answer:02x?}");
        let mut peer = rig.script.websocket().await;
        rig.script.recv_connect(&mut peer).await;
        peer.send_message(answer).await;
        peer.closed().await;
        let why = rig.ended().await;
        assert!(matches!(why, LinkError::Protocol(_) | LinkError::Rejected(_)), "{why:?}");
    }
    // And without any answer.
    for attempt in 0..4 {
        let mut peer = rig.script.websocket().await;
        if attempt > 0 {
            rig.script.recv_connect(&mut peer).await;
        }
        if attempt == 2 {
            peer.send_ws(&peer.ws(opcode::CLOSE, "")).await;
        }
        if attempt == 3 {
            peer.send_ws(&peer.ws(3, "")).await;
            peer.closed().await;
        }
        drop(peer);
        let why = rig.ended().await;
        assert!(!matches!(why, LinkError::ShutDown), "{why:?}");
    }
    rig.link().await.fence().await;
    rig.finish().await;
}

#[tokio::test]
async fn any_layout_of_a_good_answer_is_taken() {
    let rig = Rig::new(Side::Dials).await;
    let id = Value::Binary(vec![1; 16]);
    let accepted = Value::Boolean(true);
    let frame = connect_response("", None);
    let answers = [
        frame.clone().flags(flag::CRC).encode(),
        [frame.encode(), vec![7; 9]].concat(),
        frame.clone().payload(map([("Zzz", Value::Nil), ("Accepted", accepted.clone()), ("ID", id)])).encode(),
        frame.clone().payload(map([("Accepted", accepted)])).encode(),
        Frame { mux: 3, seq: 4, ..frame }.encode(),
        connect_response("", Some(u64::MAX)).encode(),
    ];
    for answer in answers {
        let mut peer = rig.script.websocket().await;
        rig.script.recv_connect(&mut peer).await;
        peer.send_ws(&peer.ws(opcode::TEXT, "skipped")).await;
        peer.send_message(answer).await;
        peer.fence().await;
    }
    rig.finish().await;
}

#[tokio::test]
async fn an_answer_that_is_too_long_fails_the_attempt() {
    let rig = Rig::new(Side::Dials).await;
    let long = connect_response(&"x".repeat(100_000), None);
    let mut peer = rig.script.websocket().await;
    rig.script.recv_connect(&mut peer).await;
    let message = peer.ws(opcode::BINARY, long.encode());
    // The node may close in the midst of it.
    let _ = peer.try_send_bytes(&message.encode(LengthForm::Shortest)).await;
    peer.closed().await;
    let ended = rig.ended().await;
    let too_long = LinkError::Protocol("a message of the handshake is longer than 65536 bytes".into());
    assert!(matches!(ended, LinkError::Closed(_)) || ended == too_long, "{ended:?}");
    rig.link().await.fence().await;
    rig.finish().await;
}

/// Of two nodes that do not agree, the one that dials shows why. What is given changes the builder of the dialling node
/// and that of the other one.
async fn shown(change: [&dyn Fn(ManagerBuilder) -> ManagerBuilder; 2]) -> String {
    let mut places = [Place::new(), Place::new()];
    if !dials(&places[0].name, &places[1].name) {
        places.reverse();
    }
    let mut nodes: Vec<Manager> = Vec::new();
    for own in [0, 1] {
        let builder = places[own].builder().peers([&*places[1 - own].name]).shared_secret("secret");
        nodes.push(change[own](builder).start().await.expect("the node starts"));
    }
    let mut states = nodes[0].connection(&places[1].name).expect("it is a peer").changes();
    let rejected = async {
        loop {
            if let Some(State::Disconnected(Some(LinkError::Rejected(reason)))) = states.next().await {
                return reason.into();
            }
        }
    };
    within("a rejection", rejected).await
}

#[tokio::test]
async fn between_two_nodes_each_rejection_is_shown_by_the_one_that_dials() {
    let as_is = |builder: ManagerBuilder| builder;
    let other_secret = |builder: ManagerBuilder| builder.shared_secret("another");
    assert_eq!(shown([&as_is, &other_secret]).await, "auth token: signed with another secret, or for another node");
    let own_words = |builder: ManagerBuilder| builder.token_validator(|_| ready(Err("not today".to_owned())));
    assert_eq!(shown([&as_is, &own_words]).await, "auth token: not today");
    // No two clocks agree to the nanosecond.
    let strict = |builder: ManagerBuilder| builder.timeouts(|timeouts| timeouts.clock_difference_max = Duration::ZERO);
    assert!(shown([&as_is, &strict]).await.starts_with("time difference too large between servers: "));
    let elsewhere = |builder: ManagerBuilder| builder.route("/elsewhere");
    assert_eq!(shown([&elsewhere, &as_is]).await, "404 Not Found at /elsewhere");
}

#[tokio::test]
async fn a_node_that_does_not_know_the_one_that_dials_says_so() {
    let mut places = [Place::new(), Place::new()];
    if !dials(&places[0].name, &places[1].name) {
        places.reverse();
    }
    let [dialler, other] = &places;
    let _other = other.builder().start().await.expect("the node starts");
    let node = dialler.builder().peers([&*other.name]).start().await.expect("the node starts");
    let mut states = only(&node).changes();
    let shown = async {
        loop {
            if let Some(State::Disconnected(Some(why))) = states.next().await {
                return why;
            }
        }
    };
    let wanted = format!("unknown incoming host: {}", dialler.name);
    assert_eq!(within("a rejection", shown).await, LinkError::Rejected(wanted.into()));
}

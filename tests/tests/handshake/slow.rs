//! Peers that take their time, under virtual time, and peers that say too much.

use std::time::Duration;

use grid::LinkError;
use grid_tests::raw::{Head, Hello, LengthForm, ROUTE, RawPeer, Rig, Role, Side, WsFrame, connect_response, opcode};
use tokio::io::duplex;
use tokio::time::{Instant, sleep};

use crate::memory::{accepting, dial, dialling, first, shown, upgrade};

const LIMIT: Duration = Duration::from_secs(5);
const PIPE: usize = 64 << 10;

#[tokio::test(start_paused = true)]
async fn a_peer_that_stops_in_the_handshake_is_dropped_in_time() {
    let node = accepting(|builder| builder);
    let head = upgrade();
    let said = [&head[..0], &head[..1], &head[..head.len() - 1], &head];
    for bytes in said {
        let start = Instant::now();
        let mut peer = dial(&node, PIPE);
        peer.send_bytes(bytes).await;
        if bytes.len() == head.len() {
            assert_eq!(peer.recv_head().await.status(), 101);
        }
        peer.closed().await;
        assert_eq!(start.elapsed(), LIMIT, "{} bytes", bytes.len());
    }
    for part in [1, 20] {
        let start = Instant::now();
        let mut peer = dial(&node, PIPE);
        peer.send_bytes(&head).await;
        assert_eq!(peer.recv_head().await.status(), 101);
        let first = first(&peer);
        peer.send_bytes(&first[..part]).await;
        peer.closed().await;
        assert_eq!(start.elapsed(), LIMIT);
    }
}

#[tokio::test(start_paused = true)]
async fn a_byte_now_and_then_wins_no_time() {
    let node = accepting(|builder| builder);
    let start = Instant::now();
    let mut peer = dial(&node, PIPE);
    for byte in upgrade() {
        sleep(Duration::from_secs(1)).await;
        if peer.try_send_bytes(&[byte]).await.is_err() {
            break;
        }
    }
    // The byte at five seconds may go out just before the end.
    assert!(start.elapsed() <= LIMIT + Duration::from_secs(1), "{:?}", start.elapsed());

    let start = Instant::now();
    let mut peer = dial(&node, PIPE);
    peer.send_bytes(&upgrade()).await;
    assert_eq!(peer.recv_head().await.status(), 101);
    loop {
        sleep(Duration::from_secs(1)).await;
        let ping = peer.ws(opcode::PING, "").encode(LengthForm::Shortest);
        if peer.try_send_bytes(&ping).await.is_err() {
            break;
        }
    }
    assert!(start.elapsed() <= LIMIT + Duration::from_secs(1), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn handshakes_in_progress_are_bounded_and_those_behind_get_their_turn() {
    let node = accepting(|builder| builder.limits(|limits| limits.handshakes_max = 2));
    let start = Instant::now();
    let (_silent, mut half) = (dial(&node, PIPE), dial(&node, PIPE));
    half.send_bytes(&upgrade()).await;
    tokio::task::yield_now().await;
    let mut good = dial(&node, PIPE);
    good.send_bytes(&upgrade()).await;
    good.recv_head().await;
    // The silent one has had its share of the time.
    assert_eq!(start.elapsed(), LIMIT / 5);
    good.send_bytes(&first(&good)).await;
    assert_eq!(good.recv().await.text("RejectedReason"), "");
    good.fence().await;
    half.recv_head().await;
}

/// Who waits takes one place, and not those of all who are slow.
#[tokio::test(start_paused = true)]
async fn one_that_waits_gives_up_one_handshake() {
    let node = accepting(|builder| builder.limits(|limits| limits.handshakes_max = 3));
    let mut slow = [(); 3].map(|()| dial(&node, PIPE));
    for peer in &mut slow {
        peer.send_bytes(&upgrade()).await;
        peer.recv_head().await;
    }
    sleep(LIMIT / 2).await;
    let mut good = dial(&node, PIPE);
    good.send_bytes(&upgrade()).await;
    good.recv_head().await;
    good.send_bytes(&first(&good)).await;
    assert_eq!(good.recv().await.text("RejectedReason"), "");
    let [mut oldest, others @ ..] = slow;
    oldest.closed().await;
    assert_eq!(node.stats().handshakes, 2);
    drop(others);
}

/// A hundred connections a second that say nothing, for which the time of a handshake would be five times too long.
#[tokio::test(start_paused = true)]
async fn those_who_say_nothing_do_not_keep_others_out() {
    let node = accepting(|builder| builder);
    let flood = tokio::spawn({
        let node = node.clone();
        async move {
            let mut silent = Vec::new();
            loop {
                silent.extend((0..100).map(|_| dial(&node, PIPE)));
                sleep(Duration::from_secs(1)).await;
            }
        }
    });
    for _ in 0..10 {
        sleep(Duration::from_millis(2_300)).await;
        let start = Instant::now();
        let mut good = dial(&node, PIPE);
        good.send_bytes(&upgrade()).await;
        assert_eq!(good.recv_head().await.status(), 101);
        good.send_bytes(&first(&good)).await;
        assert_eq!(good.recv().await.text("RejectedReason"), "");
        assert!(start.elapsed() < LIMIT / 2, "{:?}", start.elapsed());
    }
    assert!(node.stats().limit_hits.handshakes_max > 0);
    flood.abort();
}

#[tokio::test(start_paused = true)]
async fn a_link_is_not_a_handshake_in_progress() {
    let node = accepting(|builder| builder.limits(|limits| limits.handshakes_max = 1));
    let start = Instant::now();
    for _ in 0..3 {
        let mut peer = dial(&node, PIPE);
        peer.send_bytes(&upgrade()).await;
        peer.recv_head().await;
        peer.send_bytes(&first(&peer)).await;
        assert_eq!(peer.recv().await.text("RejectedReason"), "");
        peer.fence().await;
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_dials_does_not_wait_for_ever() {
    let start = Instant::now();
    let node = dialling(vec![]);
    assert_eq!((shown(&node).await, start.elapsed()), (LinkError::HandshakeTimeout, LIMIT));

    for stage in 0..4 {
        let start = Instant::now();
        let (near, far) = duplex(PIPE);
        let node = dialling(vec![Box::new(far)]);
        let mut peer = RawPeer::new(Box::new(near), Role::Acceptor);
        let request = peer.recv_head().await;
        let answer = Head::switching(&request).encode();
        match stage {
            0 => {}
            1 => peer.send_bytes(&answer[..20]).await,
            _ => {
                peer.send_bytes(&answer).await;
                peer.recv().await;
            }
        }
        if stage == 3 {
            let response = peer.ws(opcode::BINARY, connect_response("", None).encode());
            peer.send_bytes(&response.encode(LengthForm::Shortest)[..10]).await;
        }
        peer.closed().await;
        assert_eq!((shown(&node).await, start.elapsed()), (LinkError::HandshakeTimeout, LIMIT));
    }
}

#[tokio::test]
async fn a_huge_head_is_refused() {
    let rig = Rig::new(Side::Accepts).await;
    let endless = Head::upgrade(ROUTE, "node:1", "debug").with("X-Long", &"x".repeat(200_000));
    let many = (0..200)
        .fold(Head::upgrade(ROUTE, "node:1", "debug"), |head, number| head.with(&format!("X-Header-{number}"), "x"));
    let no_end = b"GET /".iter().copied().chain(std::iter::repeat_n(b'x', 200_000)).collect();
    for head in [endless.encode(), many.encode(), no_end] {
        let mut peer = rig.script.stream().await;
        // The node may close in the midst of it, and then its answer may be lost.
        let _ = peer.try_send_bytes(&head).await;
        peer.at_end().await;
    }
    rig.link().await.fence().await;
    rig.finish().await;
}

#[tokio::test]
async fn a_huge_first_message_is_refused_before_it_is_read() {
    let rig = Rig::new(Side::Accepts).await;
    for claimed in [1 << 26, 1 << 40, u64::MAX] {
        let mut peer = rig.script.websocket().await;
        let header = peer.ws(opcode::BINARY, "").header(claimed, LengthForm::Eight);
        peer.send_bytes(&header).await;
        peer.closed().await;
    }
    // One that messages may be as long as, later.
    let mut peer = rig.script.websocket().await;
    let token = "x".repeat(1 << 20).into();
    let first = Hello { token, ..rig.script.hello() }.connect().encode();
    let _ = peer.try_send_bytes(&peer.ws(opcode::BINARY, first).encode(LengthForm::Shortest)).await;
    peer.closed().await;
    // One in fragments, and texts and pings without an end.
    for code in [opcode::BINARY, opcode::TEXT, opcode::PING] {
        let mut peer = rig.script.websocket().await;
        let frame = WsFrame { fin: code != opcode::BINARY, ..peer.ws(code, [b'x'; 125]) };
        let mut bytes = frame.encode(LengthForm::Shortest);
        let more = WsFrame { opcode: if code == opcode::BINARY { opcode::CONTINUATION } else { code }, ..frame };
        bytes.extend(more.encode(LengthForm::Shortest).repeat(2000));
        let _ = peer.try_send_bytes(&bytes).await;
        while peer.try_recv_ws().await.is_some() {}
    }
    rig.link().await.fence().await;
    rig.finish().await;
}

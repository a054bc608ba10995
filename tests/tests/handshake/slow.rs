//! Peers that take their time, and peers that say too much. Under virtual time.

use std::time::Duration;

use grid::{LinkError, Manager};
use grid_tests::raw::{Head, Hello, LengthForm, ROUTE, RawPeer, Role, Side, WsFrame, connect_response, opcode};
use tokio::io::duplex;
use tokio::time::{Instant, sleep};

use crate::memory::{accepting, dial, dialling, first, peer_name, shown, upgrade};

const LIMIT: Duration = Duration::from_secs(5);
const PIPE: usize = 64 << 10;
/// A pipe in which little waits beyond what is read.
const NARROW: usize = 1 << 10;
/// What is read of a head, and of a handshake.
const HEAD: usize = 16 << 10;
const HANDSHAKE: usize = 64 << 10;

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

/// Sends bytes until the node takes no more. Gives how many it took, with those that wait in the pipe.
async fn taken(peer: &mut RawPeer, bytes: &[u8]) -> usize {
    let parts = bytes.chunks(100);
    let mut taken = 0;
    for part in parts {
        if peer.try_send_bytes(part).await.is_err() {
            break;
        }
        taken += part.len();
    }
    taken
}

/// The node is well: it lets a good peer in.
async fn assert_lets_in(node: &Manager) {
    let mut good = dial(node, PIPE);
    good.send_bytes(&upgrade()).await;
    assert_eq!(good.recv_head().await.status(), 101);
    good.send_bytes(&first(&good)).await;
    assert_eq!(good.recv().await.text("RejectedReason"), "");
    good.fence().await;
}

#[tokio::test(start_paused = true)]
async fn a_huge_head_is_refused() {
    let node = accepting(|builder| builder);
    let start = Instant::now();
    let endless = Head::upgrade(ROUTE, "node:1", "debug").with("X-Long", &"x".repeat(200_000)).encode();
    let no_end: Vec<_> = b"GET /".iter().copied().chain(std::iter::repeat_n(b'x', 200_000)).collect();
    for head in [endless, no_end] {
        let mut peer = dial(&node, NARROW);
        let taken = taken(&mut peer, &head).await;
        assert!((HEAD..HEAD + 2 * NARROW).contains(&taken), "{taken} bytes");
        assert_eq!(peer.recv_head().await.status(), 400);
        peer.closed().await;
    }
    let many = (0..200)
        .fold(Head::upgrade(ROUTE, "node:1", "debug"), |head, number| head.with(&format!("X-Header-{number}"), "x"));
    let mut peer = dial(&node, PIPE);
    peer.send_bytes(&many.encode()).await;
    assert_eq!(peer.recv_head().await.status(), 400);
    peer.closed().await;
    assert_eq!(start.elapsed(), Duration::ZERO, "no time was waited for");
    assert_lets_in(&node).await;
}

/// A peer that has its WebSocket, and is to say who it is.
async fn upgraded(node: &Manager, pipe: usize) -> RawPeer {
    let mut peer = dial(node, pipe);
    peer.send_bytes(&upgrade()).await;
    assert_eq!(peer.recv_head().await.status(), 101);
    peer
}

#[tokio::test(start_paused = true)]
async fn a_huge_first_message_is_refused_before_it_is_read() {
    let node = accepting(|builder| builder);
    let start = Instant::now();
    for claimed in [HANDSHAKE as u64 + 1, 1 << 26, 1 << 40, u64::MAX] {
        let mut peer = upgraded(&node, NARROW).await;
        let header = peer.ws(opcode::BINARY, "").header(claimed, LengthForm::Eight);
        peer.send_bytes(&header).await;
        peer.closed().await;
    }
    // One that messages may be as long as, later.
    let mut peer = upgraded(&node, NARROW).await;
    let token = "x".repeat(1 << 20).into();
    let first = Hello { token, ..Hello::new(&peer_name(Side::Accepts)) }.connect().encode();
    let first = peer.ws(opcode::BINARY, first).encode(LengthForm::Shortest);
    let few = taken(&mut peer, &first).await;
    assert!(few < 3 * NARROW, "{few} bytes");
    peer.closed().await;
    // One in fragments, and texts and pings without an end.
    for code in [opcode::BINARY, opcode::TEXT, opcode::PING] {
        // There is room for all pongs.
        let pipe = if code == opcode::PING { 2 * HANDSHAKE } else { NARROW };
        let mut peer = upgraded(&node, pipe).await;
        let frame = WsFrame { fin: code != opcode::BINARY, ..peer.ws(code, [b'x'; 125]) };
        let mut bytes = frame.encode(LengthForm::Shortest);
        let more = WsFrame { opcode: if code == opcode::BINARY { opcode::CONTINUATION } else { code }, ..frame };
        bytes.extend(more.encode(LengthForm::Shortest).repeat(4000));
        let taken = taken(&mut peer, &bytes).await;
        assert!((HANDSHAKE - NARROW..HANDSHAKE + 2 * pipe).contains(&taken), "{taken} bytes");
        while peer.try_recv_ws().await.is_some() {}
    }
    assert_eq!(start.elapsed(), Duration::ZERO, "no time was waited for");
    assert_lets_in(&node).await;
}

//! Peers that go silent once they are connected, under virtual time.

use std::time::Duration;

use bytes::Bytes;
use grid::{CallError, LinkError};
use grid_tests::mesh::only;
use grid_tests::raw::{Frame, RawPeer, Rig, SIDES, flag, map, op};
use rmpv::Value;
use tokio::time::{Instant, sleep};

use crate::memory::{linked, shown};

const PIPE: usize = 64 << 10;

/// The next frame, which is a ping of the link as v1 peers send it.
async fn ping(peer: &mut RawPeer) -> Value {
    let ping = peer.recv().await;
    let time = ping.field("t").expect("a ping has a time");
    let wanted = Frame { deadline_ms: 10_000, ..Frame::new(op::PING, 0).bare() };
    assert_eq!(ping, wanted.payload(map([("t", time.clone())])));
    time
}

async fn pong(peer: &mut RawPeer, time: Value) {
    // The way there and back takes time everywhere but in memory.
    sleep(Duration::from_millis(1)).await;
    let body = map([("nf", false.into()), ("e", Value::Nil), ("t", time)]);
    peer.send(&Frame { deadline_ms: 10_000, ..Frame::new(op::PONG, 0) }.payload(body)).await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_answers_no_ping_is_dropped_at_twenty_seconds() {
    for side in SIDES {
        let (node, mut peer) = linked(side, PIPE).await;
        let start = Instant::now();
        ping(&mut peer).await;
        assert_eq!(start.elapsed(), Duration::from_secs(10));
        peer.closed().await;
        assert_eq!((start.elapsed(), shown(&node).await), (Duration::from_secs(20), LinkError::Dead));
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_answered_one_ping_is_dropped_at_forty_seconds() {
    for side in SIDES {
        let (node, mut peer) = linked(side, PIPE).await;
        let start = Instant::now();
        let time = ping(&mut peer).await;
        pong(&mut peer, time).await;
        for _ in 0..2 {
            ping(&mut peer).await;
        }
        peer.closed().await;
        assert_eq!((start.elapsed(), shown(&node).await), (Duration::from_secs(40), LinkError::Dead));
        assert!(only(&node).stats().last_ping.is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_answers_pings_with_whatever_time_stays() {
    for side in SIDES {
        let (node, mut peer) = linked(side, PIPE).await;
        for _ in 0..30 {
            ping(&mut peer).await;
            pong(&mut peer, grid_tests::raw::time(5)).await;
        }
        peer.fence().await;
        // None of them was an answer whose way could be measured.
        assert_eq!(only(&node).stats().last_ping, None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_is_dropped_after_four_seconds() {
    for side in SIDES {
        let (node, peer) = linked(side, 1024).await;
        let start = Instant::now();
        let outcome = only(&node).single(1_u8, [0; 100_000]).await;
        assert!(matches!(outcome, Err(CallError::Disconnected(_))), "{outcome:?}");
        assert_eq!((start.elapsed(), shown(&node).await), (Duration::from_secs(4), LinkError::WriteTimeout));
        drop(peer);
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_slowly_is_not_dropped() {
    for side in SIDES {
        let (node, mut peer) = linked(side, 1024).await;
        let connection = only(&node);
        let call = tokio::spawn(async move { connection.single(1_u8, [0; 50_000]).await });
        let bytes = peer.bytes().read;
        while peer.bytes().read < bytes + 50_000 {
            sleep(Duration::from_millis(200)).await;
            peer.read_some().await;
        }
        let request = loop {
            match peer.recv().await {
                frame if frame.op == op::REQUEST => break frame,
                frame => assert_eq!(frame.op, op::PING),
            }
        };
        peer.send(&Frame::response(request.mux, "slow").flags(flag::EOF)).await;
        assert_eq!(call.await.unwrap(), Ok(Bytes::from("slow")));
    }
}

#[tokio::test]
async fn half_a_close_is_a_whole_one() {
    for side in SIDES {
        let rig = Rig::new(side).await;
        let mut peer = rig.link().await;
        let call = rig.call(1, "x");
        peer.recv().await;
        peer.finish_writing().await;
        peer.closed().await;
        assert!(matches!(call.await.unwrap(), Err(CallError::Disconnected(_))));
        assert!(matches!(rig.ended().await, LinkError::Closed(_)));
        rig.finish().await;
    }
}

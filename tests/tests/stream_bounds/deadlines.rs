//! Deadlines that only this end keeps.

use std::time::Duration;

use grid::{CallError, SendError, Windows};
use grid_tests::mesh::only;
use grid_tests::raw::{RawPeer, op};
use grid_tests::streams::{CAPS_CREDITS, assert_idle, credits, frame, item, scripted};
use tokio::time::{Instant, sleep};

use crate::halves::{ECHO, let_in};

const SECOND: Duration = Duration::from_secs(1);
const WINDOW: u32 = 4;

/// Neither half is polled, and the remote says nothing.
#[tokio::test(start_paused = true)]
async fn a_deadline_ends_a_stream_at_which_nobody_looks() {
    let (node, mut peer) = scripted(Some(CAPS_CREDITS), |node| node).await;
    let call = only(&node).stream(ECHO, WINDOW, "").timeout(20 * SECOND);
    let ((outbound, mut inbound), mux) = let_in(&mut peer, call, 4).await;
    sleep(19 * SECOND).await;
    assert_eq!(only(&node).stats().calls_out, 1);
    sleep(2 * SECOND).await;
    assert_idle([&node]).await;
    let frames = peer.recv_to_fence().await;
    assert_eq!(frames.last().map(|frame| (frame.op, frame.mux)), Some((op::DISCONNECT_SERVER_MUX, mux)), "{frames:?}");
    assert_eq!(outbound.send(item(0)).await, Err(SendError::Ended));
    assert_eq!(inbound.next().await, Some(Err(CallError::DeadlineExceeded)));
}

/// Sends items for as long as there are credits for them.
async fn send_for_ever(peer: &mut RawPeer, mux: u64) {
    let (mut seq, mut granted) = (0, WINDOW.into());
    loop {
        for _ in 0..granted {
            seq += 1;
            peer.send(&frame(op::MUX_SERVER_MSG, mux, seq).payload("x")).await;
        }
        granted = credits(&peer.recv().await).unwrap_or(0);
    }
}

/// There is always an item to read, so that the reader never waits for what the deadline would wake.
#[tokio::test(start_paused = true)]
async fn a_deadline_ends_a_stream_whose_items_never_do() {
    const PAUSE: Duration = Duration::from_millis(10);
    let (node, mut peer) = scripted(Some(CAPS_CREDITS), |node| node).await;
    let call = only(&node).stream(ECHO, Windows::responses(WINDOW), "").timeout(SECOND);
    let start = Instant::now();
    let ((_outbound, mut inbound), mux) = let_in(&mut peer, call, 0).await;
    let reading = async {
        loop {
            match inbound.next().await {
                Some(Ok(_)) => assert!(start.elapsed() < 10 * SECOND, "items still come"),
                end => break end,
            }
            sleep(PAUSE).await;
        }
    };
    let end = tokio::select! {
        () = send_for_ever(&mut peer, mux) => unreachable!("it sends for ever"),
        end = reading => end,
    };
    assert_eq!(end, Some(Err(CallError::DeadlineExceeded)));
    let last = SECOND + (WINDOW + 1) * PAUSE;
    assert!((SECOND..=last).contains(&start.elapsed()), "it ended after {:?}", start.elapsed());
    assert_idle([&node]).await;
}

//! Floods, full outboxes and links that are lost meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use grid::{CallError, Connection, Inbound, Manager, ManagerBuilder, Outbound, RemoteError, SendError};
use grid_tests::memory::{LINK_BYTES, Network, settle, within};
use grid_tests::mesh::{only, pair, quick, soon};
use grid_tests::probe::{self, Visits, echo};
use grid_tests::streams::{Read, assert_idle, item, large_item, read_all};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::handlers::{COLLECT, ECHO, FLOOD, Taps, flood_with};

const OUTBOX: usize = 4 << 10;

fn serving(taps: &Taps, window: u32) -> impl Fn(ManagerBuilder) -> ManagerBuilder + use<> {
    let taps = taps.clone();
    move |builder| taps.serve(quick(echo(builder)), window).limits(|limits| limits.outbox_bytes_max = OUTBOX)
}

/// Everything that a node can do to another, at once.
async fn flood(connection: Connection, streams: usize, items: usize, bytes: usize) {
    let echoes = (0..streams).map(|_| async {
        let (outbound, mut inbound) = connection.stream(ECHO, 16, "").await.expect("it opens");
        let sending = async {
            for number in 0..items {
                outbound.send(large_item(number, bytes)).await.expect("it goes on");
            }
            outbound.finish().await.expect("it has not ended");
        };
        let ((), read) = tokio::join!(sending, read_all(&mut inbound));
        let expected: Vec<_> = (0..items).map(|number| large_item(number, bytes)).collect();
        assert!(read == Read { items: expected, error: None }, "{} items, then {:?}", read.items.len(), read.error);
    });
    let singles = (0..streams * 8).map(|number| {
        let payload = large_item(number, bytes);
        let connection = &connection;
        async move { assert_eq!(connection.single(probe::ECHO, &payload).await, Ok(payload)) }
    });
    tokio::join!(join_all(echoes), join_all(singles));
}

async fn flood_both_ways(left: &Manager, right: &Manager, streams: usize, items: usize, bytes: usize) {
    let floods = [left, right].map(|node| tokio::spawn(flood(only(node), streams, items, bytes)));
    for flood in floods {
        flood.await.expect("all goes through");
    }
    assert_eq!(only(left).stats().reconnects, 0);
    assert_idle([left, right]).await;
}

#[tokio::test(start_paused = true)]
async fn both_sides_flood_each_other_through_tiny_outboxes() {
    let taps = Taps::default();
    let (left, right) = Network::default().pair(serving(&taps, 16), serving(&taps, 16)).await;
    within(flood_both_ways(&left, &right, 16, 100, 1 << 10)).await;
    within(flood_both_ways(&left, &right, 8, 20, 20 << 10)).await;
    assert_eq!(taps.probe.visits(), Visits { started: 48, finished: 48, dropped: 0 });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_sides_flood_each_other_over_sockets() {
    let taps = Taps::default();
    let (left, right) = pair(serving(&taps, 16), serving(&taps, 16)).await;
    soon(flood_both_ways(&left, &right, 16, 200, 256)).await;
    soon(flood_both_ways(&left, &right, 8, 30, 20 << 10)).await;
}

/// A stream whose two ends send, and neither reads.
struct Clinch {
    sent: Arc<AtomicUsize>,
    sender: JoinHandle<()>,
    inbound: Inbound<Bytes, RemoteError>,
}

impl Clinch {
    async fn new(connection: &Connection, timeout: Option<Duration>) -> Self {
        let mut call = connection.stream(FLOOD, 64, item(1 << 10));
        if let Some(timeout) = timeout {
            call = call.timeout(timeout);
        }
        let (outbound, inbound) = within(call.into_future()).await.expect("it opens");
        let sent = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&sent);
        let sender = tokio::spawn(async move { flood_with(&outbound, 1 << 10, &count).await });
        Self { sent, sender, inbound }
    }

    fn items() -> Vec<Bytes> {
        (0..64).map(|number| large_item(number, 1 << 10)).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_on_which_both_ends_send_and_neither_reads_ends_by_its_cancellation() {
    let taps = Taps::default();
    let (left, right) = Network::default().pair(serving(&taps, 64), serving(&taps, 64)).await;
    let mut streams = Vec::new();
    for _ in 0..10 {
        streams.push(Clinch::new(&only(&left), None).await);
        streams.push(Clinch::new(&only(&right), None).await);
    }
    settle().await;
    for Clinch { sent, .. } in &streams {
        assert_eq!(sent.load(Ordering::SeqCst), 64, "each has sent its window");
    }
    for (number, Clinch { sender, mut inbound, .. }) in streams.into_iter().enumerate() {
        match number % 3 {
            0 => {
                drop(inbound);
                within(sender).await.expect("no panic");
            }
            _ => {
                sender.abort();
                let expected = Read { items: Clinch::items(), error: Some(CallError::Cancelled) };
                assert!(within(sender).await.is_err_and(|error| error.is_cancelled()));
                assert_eq!(within(read_all(&mut inbound)).await, expected);
            }
        }
    }
    settle().await;
    assert_eq!(taps.probe.visits(), Visits { started: 20, finished: 0, dropped: 20 });
    assert_idle([&left, &right]).await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_on_which_both_ends_send_and_neither_reads_ends_by_its_deadline() {
    const TIMEOUT: Duration = Duration::from_millis(700);
    let taps = Taps::default();
    let (left, right) = Network::default().pair(serving(&taps, 64), serving(&taps, 64)).await;
    let start = Instant::now();
    let mut streams = Vec::new();
    for _ in 0..10 {
        streams.push(Clinch::new(&only(&left), Some(TIMEOUT)).await);
        streams.push(Clinch::new(&only(&right), Some(TIMEOUT)).await);
    }
    for Clinch { sender, mut inbound, .. } in streams {
        within(sender).await.expect("no panic");
        assert_eq!(start.elapsed(), TIMEOUT);
        let expected = Read { items: Clinch::items(), error: Some(CallError::DeadlineExceeded) };
        assert_eq!(within(read_all(&mut inbound)).await, expected);
    }
    settle().await;
    let Visits { started, finished, dropped } = taps.probe.visits();
    assert_eq!((started, finished + dropped), (20, 20));
    assert_idle([&left, &right]).await;
}

/// A link that takes nothing for a while, an outbox that is full, and a caller that gives up meanwhile.
#[tokio::test(start_paused = true)]
async fn a_cancellation_gets_through_behind_a_full_outbox() {
    let (network, taps) = (Network::default(), Taps::default());
    let (left, _right) = network.pair(serving(&taps, 64), serving(&taps, 64)).await;
    let large = only(&left).stream(COLLECT, 64, "large");
    let (large, _inbound) = within(large.into_future()).await.expect("it opens");
    let clinch = Clinch::new(&only(&left), None).await;
    network.freeze();
    let blocking = tokio::spawn(async move {
        let sent = AtomicUsize::new(0);
        flood_with(&large, LINK_BYTES, &sent).await;
    });
    settle().await;
    assert!(only(&left).stats().queued_bytes > 0);
    drop(clinch.inbound);
    settle().await;
    assert_eq!(taps.probe.visits().dropped, 0, "nothing gets through");
    network.thaw();
    taps.probe.until(|visits| visits.dropped == 1).await;
    within(clinch.sender).await.expect("no panic");
    assert!(!blocking.is_finished(), "the other goes on");
    assert_eq!(only(&left).stats().reconnects, 0);
}

/// Some ends are known on this side while nothing moves on the link.
#[tokio::test(start_paused = true)]
async fn senders_that_wait_for_room_end_with_their_stream() {
    let (network, taps) = (Network::default(), Taps::default());
    let (left, _right) = network.pair(serving(&taps, 64), serving(&taps, 64)).await;
    let call = only(&left).stream(COLLECT, 64, "nobody reads");
    let (outbound, inbound) = within(call.into_future()).await.expect("it opens");
    network.freeze();
    let outbound = Arc::new(outbound);
    let send = || {
        let outbound = Arc::clone(&outbound);
        tokio::spawn(async move { outbound.send(Bytes::from(vec![7; LINK_BYTES])).await })
    };
    let senders: Vec<_> = (0..5).map(|_| send()).collect();
    settle().await;
    drop(inbound);
    settle().await;
    assert!(senders.iter().all(JoinHandle::is_finished), "a sender still waits");
    let sent = join_all(senders).await.into_iter().map(|sent| sent.expect("no panic"));
    let (had_room, had_none): (Vec<_>, Vec<_>) = sent.partition(Result::is_ok);
    assert_eq!(had_room.len(), 2, "one on its way, one in the outbox");
    assert!(had_none.iter().all(|sent| *sent == Err(SendError::Ended)), "{had_none:?}");
}

#[tokio::test(start_paused = true)]
async fn senders_that_wait_for_room_end_with_their_link() {
    let (network, taps) = (Network::default(), Taps::default());
    let (left, right) = network.pair(serving(&taps, 64), serving(&taps, 64)).await;
    for round in 1..=20 {
        for node in [&left, &right] {
            within(only(node).ready()).await.expect("not shut down");
        }
        let calls = (0..20).map(|_| only(&left).stream(COLLECT, 64, "nobody reads").into_future());
        let streams: Vec<_> = within(join_all(calls)).await.into_iter().map(|call| call.expect("it opens")).collect();
        network.freeze();
        let tasks: Vec<_> =
            streams.into_iter().map(|(outbound, inbound)| tokio::spawn(block(outbound, inbound))).collect();
        settle().await;
        // One has its item on the way, the next one fills the outbox.
        assert!(only(&left).stats().queued_bytes >= LINK_BYTES);
        network.cut();
        network.thaw();
        for task in tasks {
            let read = within(task).await.expect("no panic");
            assert_eq!(read, Read::of(0, CallError::Disconnected(right.name().into())));
        }
        taps.probe.until(|visits| visits.dropped == 20 * round).await;
        settle().await;
        assert_idle([&left, &right]).await;
    }
    within(flood_both_ways_after(&left, &right)).await;
}

async fn flood_both_ways_after(left: &Manager, right: &Manager) {
    for node in [left, right] {
        within(only(node).ready()).await.expect("not shut down");
        flood(only(node), 4, 20, 1 << 10).await;
    }
    assert_idle([left, right]).await;
}

/// Sends until the stream ends, and tells how it did.
async fn block(outbound: Outbound<Bytes>, mut inbound: Inbound<Bytes, RemoteError>) -> Read<RemoteError> {
    let sent = AtomicUsize::new(0);
    flood_with(&outbound, LINK_BYTES, &sent).await;
    assert!(sent.into_inner() <= 2, "one on the way, one in the outbox");
    drop(outbound);
    read_all(&mut inbound).await
}

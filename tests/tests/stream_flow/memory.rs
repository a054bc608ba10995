//! Little memory for items that nobody has read yet.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::future::join_all;
use grid::{CallError, Inbound, Manager, ManagerBuilder, Outbound, RefusalReason, RemoteError};
use grid_tests::memory::{Network, settle, within};
use grid_tests::mesh::only;
use grid_tests::probe::{self, Visits, echo};
use grid_tests::streams::{Read, assert_idle, item, large_item, read_all};

use crate::handlers::{COLLECT, SUPPLY, Taps, demand, flood_with};

/// What may be unread.
const MAX: usize = 64 << 10;
/// What an unread item counts for.
const HELD: usize = 4 << 10;
/// Of an item, with which 64 more are counted.
const BYTES: usize = HELD - 64;
const WINDOW: u32 = 4;

fn small(builder: ManagerBuilder) -> ManagerBuilder {
    builder.limits(|limits| limits.unread_bytes_max = MAX)
}

async fn nodes(taps: &Taps) -> (Manager, Manager) {
    let serve = |builder| small(taps.serve(echo(builder), WINDOW));
    Network::default().pair(serve, serve).await
}

type Halves = (Outbound<Bytes>, Inbound<Bytes, RemoteError>);

async fn opened(node: &Manager, id: u8, name: impl AsRef<[u8]>) -> Halves {
    within(only(node).stream(id, WINDOW, name).into_future()).await.expect("it opens")
}

fn unread(node: &Manager) -> usize {
    only(node).stats().unread_bytes
}

/// The items that [`SUPPLY`] sends, or those of [`flood_with`].
fn large_items(count: usize) -> Vec<Bytes> {
    (0..count).map(|number| large_item(number, BYTES)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_caller_keeps_no_more_than_its_limit_and_what_is_read_goes_on() {
    const ITEMS: usize = 30;
    let taps = Taps::default();
    let (left, right) = nodes(&taps).await;
    let mut streams = Vec::new();
    // Three have their whole window, with which half of the limit is passed; then each new one has one item.
    for count in [4, 8, 12, 13, 14, 15] {
        let (outbound, inbound) = opened(&left, SUPPLY, "").await;
        outbound.send(demand(ITEMS, BYTES)).await.expect("it goes on");
        settle().await;
        assert_eq!(unread(&left), count * HELD, "{} streams", streams.len() + 1);
        streams.push((outbound, inbound));
    }
    let (read, mut reader) = opened(&left, SUPPLY, "").await;
    for _ in 0..3 {
        read.send(demand(100, BYTES)).await.expect("it goes on");
        for number in 0..100 {
            assert_eq!(within(reader.next()).await, Some(Ok(large_item(number, BYTES))));
            settle().await;
            assert!(unread(&left) <= MAX, "{} unread", unread(&left));
        }
    }
    assert_eq!(within(only(&left).single(probe::ECHO, "x").into_future()).await, Ok("x".into()));
    read.finish().await.expect("it has not ended");
    assert_eq!(within(read_all(&mut reader)).await, Read::of(0, None));

    for (outbound, mut inbound) in streams {
        outbound.finish().await.expect("it has not ended");
        assert_eq!(within(read_all(&mut inbound)).await, Read { items: large_items(ITEMS), error: None });
        assert!(unread(&left) <= MAX);
    }
    assert_idle([&left, &right]).await;
    assert_eq!(taps.probe.visits(), Visits { started: 7, finished: 7, dropped: 0 });
}

#[tokio::test(start_paused = true)]
async fn a_handler_keeps_no_more_than_its_limit_and_what_is_read_goes_on() {
    const ITEMS: usize = 30;
    let taps = Taps::default();
    let (left, right) = nodes(&taps).await;
    let mut streams = Vec::new();
    for (name, count) in [4, 8, 12, 13, 14, 15].into_iter().enumerate() {
        let name = item(name);
        let (outbound, inbound) = opened(&left, COLLECT, &name).await;
        let sender = tokio::spawn(async move {
            for number in 0..ITEMS {
                outbound.send(large_item(number, BYTES)).await.expect("it goes on");
            }
            outbound.finish().await.expect("it has not ended");
        });
        settle().await;
        assert_eq!(unread(&right), count * HELD, "{} streams", streams.len() + 1);
        streams.push((name, sender, inbound));
    }
    let (outbound, mut inbound) = opened(&left, COLLECT, "read").await;
    taps.tap("read").open_wide();
    for number in 0..300 {
        within(outbound.send(large_item(number, BYTES))).await.expect("it goes on");
        assert!(unread(&right) <= MAX, "{} unread", unread(&right));
    }
    outbound.finish().await.expect("it has not ended");
    assert_eq!(within(read_all(&mut inbound)).await, Read { items: vec![item(300)], error: None });

    for (name, sender, mut inbound) in streams {
        let tap = taps.tap(name);
        tap.open_wide();
        within(sender).await.expect("no panic");
        assert_eq!(within(read_all(&mut inbound)).await, Read { items: vec![item(ITEMS)], error: None });
        assert_eq!(tap.read(), large_items(ITEMS));
        assert!(unread(&right) <= MAX);
    }
    assert_idle([&left, &right]).await;
}

/// Many streams at once that got their windows while there was plenty: nothing but their items is in the way.
#[tokio::test(start_paused = true)]
async fn many_readers_of_all_speeds_get_all_items_with_little_memory() {
    const STREAMS: usize = 32;
    /// Of 1 KiB, with what is counted beside.
    const HALF: usize = (1 << 10) - 64;
    let taps = Taps::default();
    let serve = |builder| small(taps.serve(builder, 2));
    let (left, right) = Network::default().pair(serve, serve).await;
    let left = &left;
    let streams = (0..STREAMS).map(|number| {
        let call = only(left).stream(SUPPLY, 2, "");
        async move {
            let (outbound, mut inbound) = call.await.expect("it opens");
            // Two of 1 KiB in 32 windows are all that may be unread.
            outbound.send(demand(100, HALF)).await.expect("it goes on");
            outbound.finish().await.expect("it has not ended");
            for item in 0..100 {
                tokio::time::sleep(std::time::Duration::from_millis(number as u64)).await;
                assert_eq!(inbound.next().await, Some(Ok(large_item(item, HALF))));
                assert!(unread(left) <= MAX, "{} unread", unread(left));
            }
            assert_eq!(read_all(&mut inbound).await, Read::of(0, None));
        }
    });
    within(join_all(streams)).await;
    assert_idle([left, &right]).await;
}

/// Windows that were granted while there was plenty, and come back all at once.
#[tokio::test(start_paused = true)]
async fn an_item_beyond_the_limit_of_a_handler_ends_its_own_stream() {
    let taps = Taps::default();
    let (left, right) = nodes(&taps).await;
    let calls = (0..5).map(|name| opened(&left, COLLECT, item(name)));
    let mut streams = join_all(calls).await;
    let (outbound, inbound) = streams.pop().expect("there are five");
    for (outbound, _) in &streams {
        for number in 0..4 {
            within(outbound.send(large_item(number, BYTES))).await.expect("it goes on");
        }
    }
    settle().await;
    assert_eq!(unread(&right), MAX);

    let sent = Arc::new(AtomicUsize::new(0));
    let mut inbound = inbound;
    // A fifth of the limit, which is more than three items, is its own share.
    for number in 0..4 {
        outbound.send(large_item(number, BYTES)).await.expect("this end does not know");
    }
    let read = within(read_all(&mut inbound)).await;
    assert!(read.items.is_empty());
    assert_overloaded(read.error);
    within(flood_with(&outbound, BYTES, &sent)).await;
    assert_eq!(sent.load(Ordering::SeqCst), 0, "sending has ended, too");
    drop((outbound, inbound));
    taps.probe.until(|visits| visits.dropped == 1).await;
    settle().await;
    assert_eq!(only(&right).stats().limit_hits.unread_bytes_max, 1);
    assert_eq!(unread(&right), MAX, "nothing is left of it");

    for (name, (outbound, mut inbound)) in streams.into_iter().enumerate() {
        taps.tap(item(name)).open_wide();
        within(outbound.finish()).await.expect("it has not ended");
        assert_eq!(within(read_all(&mut inbound)).await, Read { items: vec![item(4)], error: None });
    }
    assert_eq!(only(&left).stats().reconnects, 0);
    assert_idle([&left, &right]).await;
    assert_eq!(taps.probe.visits(), Visits { started: 5, finished: 4, dropped: 1 });
}

#[tokio::test(start_paused = true)]
async fn an_item_beyond_the_limit_of_a_caller_ends_its_own_stream() {
    let taps = Taps::default();
    let (left, right) = nodes(&taps).await;
    let calls = (0..5).map(|_| opened(&left, SUPPLY, ""));
    let mut streams = join_all(calls).await;
    let (outbound, inbound) = streams.pop().expect("there are five");
    for (outbound, _) in &streams {
        outbound.send(demand(4, BYTES)).await.expect("it goes on");
    }
    settle().await;
    assert_eq!(unread(&left), MAX);

    outbound.send(demand(4, BYTES)).await.expect("it goes on");
    taps.probe.until(|visits| visits.dropped == 1).await;
    settle().await;
    assert_eq!(unread(&left), MAX + 3 * HELD, "its share, a fifth of the limit, may be read");
    let mut inbound = inbound;
    let read = within(read_all(&mut inbound)).await;
    assert_eq!(read.items, large_items(3));
    assert_overloaded(read.error);
    assert_eq!(only(&left).stats().limit_hits.unread_bytes_max, 1);
    assert_eq!(unread(&left), MAX, "nothing is left of it");
    assert_eq!(outbound.send(item(0)).await, Err(grid::SendError::Ended));

    for (outbound, mut inbound) in streams {
        within(outbound.finish()).await.expect("it has not ended");
        assert_eq!(within(read_all(&mut inbound)).await, Read { items: large_items(4), error: None });
    }
    assert_eq!(only(&left).stats().reconnects, 0);
    assert_idle([&left, &right]).await;
    assert_eq!(taps.probe.visits(), Visits { started: 5, finished: 4, dropped: 1 });
}

fn assert_overloaded(error: Option<CallError<RemoteError>>) {
    match error {
        Some(CallError::Refused(refusal)) => assert_eq!(refusal.reason(), RefusalReason::Overloaded, "{refusal}"),
        other => panic!("ended with {other:?}"),
    }
}

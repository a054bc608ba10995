//! Streams within streams, back and forth between two nodes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::join_all;
use grid::{CallError, Connection, Context, Inbound, ManagerBuilder, Outbound, RemoteError};
use grid_tests::memory::{Network, settle, within};
use grid_tests::mesh::{only, pair, soon};
use grid_tests::probe::{Probe, Visits};
use grid_tests::streams::{Read, assert_idle, item, items, read_all};

/// Opens a stream to its caller, one level less deep, and puts itself between the two; at level 0 it echoes.
const NEST: u8 = 40;
const DEPTH: u8 = 10;
const WINDOW: u32 = 4;

fn nest(probe: &Probe) -> impl Fn(ManagerBuilder) -> ManagerBuilder + use<> {
    let probe = probe.clone();
    move |builder| {
        let probe = probe.clone();
        let builder = builder.limits(|limits| limits.outbox_bytes_max = 4 << 10);
        builder.stream(NEST, WINDOW, move |cx: Context, level: Bytes, inbound, outbound| {
            let visit = probe.enter();
            async move {
                relay(cx.connection(), level[0], inbound, outbound).await?;
                visit.finish();
                Ok(())
            }
        })
    }
}

async fn relay(
    caller: Connection,
    level: u8,
    mut inbound: Inbound<Bytes>,
    outbound: Outbound<Bytes>,
) -> Result<(), RemoteError> {
    if level == 0 {
        while let Some(item) = inbound.next().await {
            outbound.send(item?).await?;
        }
        return Ok(());
    }
    let (below, mut from_below) = caller.stream(NEST, WINDOW, [level - 1]).await?;
    let down = async {
        while let Some(item) = inbound.next().await {
            below.send(item?).await?;
        }
        Ok(below.finish().await?)
    };
    let up = async {
        while let Some(item) = from_below.next().await {
            outbound.send(item?).await?;
        }
        Ok(())
    };
    tokio::try_join!(down, up).map(|((), ())| ())
}

/// Pushes items in until no more go, and only then reads.
async fn full_chain(connection: Connection, items_in_all: usize) {
    let (outbound, mut inbound) = connection.stream(NEST, WINDOW, [DEPTH]).await.expect("it opens");
    let sent = Arc::new(AtomicUsize::new(0));
    let sender = {
        let sent = Arc::clone(&sent);
        tokio::spawn(async move {
            for number in 0..items_in_all {
                outbound.send(item(number)).await.expect("it goes on");
                sent.store(number + 1, Ordering::SeqCst);
            }
            outbound.finish().await.expect("it has not ended");
        })
    };
    settle().await;
    let full = sent.load(Ordering::SeqCst);
    // Eleven windows each way, and an item in the hands of each relay.
    let window = usize::try_from(WINDOW).expect("it fits");
    let hops = usize::from(DEPTH) + 1;
    assert!((window * hops..=(window + 1) * hops * 2).contains(&full), "{full} items fill all windows");
    assert_eq!(read_all(&mut inbound).await, Read::of(items_in_all, None));
    sender.await.expect("no panic");
}

#[tokio::test(start_paused = true)]
async fn streams_ten_deep_hold_back_their_sender_and_finish() {
    let probe = Probe::default();
    let (left, right) = Network::default().pair(nest(&probe), nest(&probe)).await;
    let chains = (0..8).map(|number| full_chain(only(if number % 2 == 0 { &left } else { &right }), 400));
    within(join_all(chains)).await;
    settle().await;
    let all = 8 * (usize::from(DEPTH) + 1);
    assert_eq!(probe.visits(), Visits { started: all, finished: all, dropped: 0 });
    assert_idle([&left, &right]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_ten_deep_finish_from_both_sides_at_once() {
    let probe = Probe::default();
    let (left, right) = pair(nest(&probe), nest(&probe)).await;
    let chains = (0..16).map(|number| {
        let connection = only(if number % 2 == 0 { &left } else { &right });
        async move {
            let (outbound, inbound) = connection.stream(NEST, WINDOW, [DEPTH]).await.expect("it opens");
            let sending = futures_util::stream::iter(items(0..200).into_iter().map(Ok)).forward(outbound);
            let (sent, read) = tokio::join!(sending, inbound.collect::<Vec<_>>());
            assert_eq!((sent, read), (Ok(()), items(0..200).into_iter().map(Ok).collect()));
        }
    });
    soon(join_all(chains)).await;
    assert_idle([&left, &right]).await;
}

/// What is given up at the top is given up all the way down.
#[tokio::test(start_paused = true)]
async fn a_cancellation_goes_down_ten_levels() {
    let probe = Probe::default();
    let (left, right) = Network::default().pair(nest(&probe), nest(&probe)).await;
    for full in [false, true] {
        let call = only(&left).stream(NEST, WINDOW, [DEPTH]);
        let (outbound, mut inbound) = within(call.into_future()).await.expect("it opens");
        let all = probe.visits().dropped + usize::from(DEPTH) + 1;
        let sent = Arc::new(AtomicUsize::new(0));
        if full {
            let sender = tokio::spawn(async move { crate::handlers::flood_with(&outbound, 8, &sent).await });
            settle().await;
            drop(inbound);
            within(sender).await.expect("no panic");
        } else {
            outbound.send(item(0)).await.expect("it goes on");
            assert_eq!(within(inbound.next()).await, Some(Ok(item(0))));
            drop(outbound);
            assert_eq!(within(read_all(&mut inbound)).await, Read::of(0, CallError::Cancelled));
        }
        settle().await;
        assert_eq!((probe.visits().dropped, probe.visits().finished), (all, 0));
        assert_idle([&left, &right]).await;
    }
}

/// An end at the bottom comes up through all, behind the items.
#[tokio::test(start_paused = true)]
async fn a_lost_link_ends_all_levels() {
    let (network, probe) = (Network::default(), Probe::default());
    let (left, right) = network.pair(nest(&probe), nest(&probe)).await;
    let call = only(&left).stream(NEST, WINDOW, [DEPTH]);
    let (outbound, mut inbound) = within(call.into_future()).await.expect("it opens");
    outbound.send(item(0)).await.expect("it goes on");
    assert_eq!(within(inbound.next()).await, Some(Ok(item(0))));
    network.cut();
    let lost = CallError::Disconnected(right.name().into());
    assert_eq!(within(read_all(&mut inbound)).await, Read::of(0, lost));
    settle().await;
    let all = usize::from(DEPTH) + 1;
    let Visits { started, finished, dropped } = probe.visits();
    assert_eq!((started, finished, dropped), (all, 0, all));
    for node in [&left, &right] {
        within(only(node).ready()).await.expect("not shut down");
    }
    assert_idle([&left, &right]).await;
}

//! A slow reader holds up the sender of its own stream, and nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use grid::{CallError, Inbound, Manager, Outbound, RemoteError, Windows};
use grid_tests::memory::{Network, settle, within};
use grid_tests::mesh::only;
use grid_tests::probe::{self, echo};
use grid_tests::streams::{Read, assert_idle, item, items, read_all};
use tokio::time::sleep;

use crate::handlers::{COLLECT, ECHO, SUPPLY, Taps, demand, flood_with};

async fn nodes(taps: &Taps, window: u32) -> (Manager, Manager) {
    let network = Network::default();
    let serve = |builder| taps.serve(echo(builder), window);
    network.pair(serve, serve).await
}

async fn opened(node: &Manager, id: u8, window: u32, name: &'static str) -> Halves {
    within(only(node).stream(id, window, name).into_future()).await.expect("it opens")
}

type Halves = (Outbound<Bytes>, Inbound<Bytes, RemoteError>);

/// Everything else on the link goes on.
async fn assert_others_go_on(left: &Manager, right: &Manager, window: u32) {
    for node in [left, right] {
        assert_eq!(within(only(node).single(probe::ECHO, "x").into_future()).await, Ok("x".into()));
        let (outbound, mut inbound) = opened(node, ECHO, window, "").await;
        for number in 0..200 {
            within(outbound.send(item(number))).await.expect("it goes on");
            assert_eq!(within(inbound.next()).await, Some(Ok(item(number))));
        }
        within(outbound.finish()).await.expect("it has not ended");
        assert_eq!(within(inbound.next()).await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_reads_slowly_holds_up_its_own_caller_only() {
    for window in [1, 2, 5, 16] {
        let taps = Taps::default();
        let (left, right) = nodes(&taps, window).await;
        let (outbound, mut inbound) = opened(&left, COLLECT, window, "slow").await;
        let (tap, sent) = (taps.tap("slow"), Arc::new(AtomicUsize::new(0)));
        let sender = {
            let sent = Arc::clone(&sent);
            tokio::spawn(async move {
                for number in 0..50 {
                    outbound.send(item(number)).await.expect("it goes on");
                    sent.store(number + 1, Ordering::SeqCst);
                }
                outbound.finish().await.expect("it has not ended");
            })
        };
        let window = usize::try_from(window).expect("it fits");
        for taken in 0..=(50 - window) {
            settle().await;
            let sent = sent.load(Ordering::SeqCst);
            assert_eq!(tap.read().len(), taken);
            // Credits come back when half of the window has been taken.
            let at_least = 50.min(window + taken - window / 2);
            assert!((at_least..=window + taken).contains(&sent), "{sent} sent, {taken} taken, window {window}");
            if taken % 20 == 0 {
                assert_others_go_on(&left, &right, u32::try_from(window).expect("it fits")).await;
            }
            tap.open(1);
        }
        tap.open_wide();
        within(sender).await.expect("no panic");
        assert_eq!(within(read_all(&mut inbound)).await, Read { items: vec![item(50)], error: None });
        assert_eq!(tap.read(), items(0..50));
        assert_idle([&left, &right]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_reads_slowly_holds_up_its_own_handler_only() {
    /// Of 100 bytes, and what is counted beside them.
    const ITEM: usize = 164;
    for window in [1, 2, 5, 16] {
        let taps = Taps::default();
        let (left, right) = nodes(&taps, window).await;
        let (outbound, mut inbound) = opened(&left, SUPPLY, window, "").await;
        outbound.send(demand(100, 100)).await.expect("it goes on");
        within(outbound.finish()).await.expect("it has not ended");
        let window = usize::try_from(window).expect("it fits");
        for taken in 0..100 {
            settle().await;
            let unread = only(&left).stats().unread_bytes;
            let at_least = ITEM * (window - window / 2).min(100 - taken);
            assert!((at_least..=ITEM * window).contains(&unread), "{unread} bytes of {window} items unread");
            if taken % 50 == 0 {
                assert_others_go_on(&left, &right, u32::try_from(window).expect("it fits")).await;
            }
            let item = within(inbound.next()).await.expect("not the end").expect("no error");
            assert_eq!((item.len(), &item[..4]), (100, &grid_tests::streams::item(taken)[..]));
        }
        assert_eq!(within(read_all(&mut inbound)).await, Read::of(0, None));
        assert_idle([&left, &right]).await;
    }
}

const RUN: u8 = 30;

/// Sends as many items as the opening says, and then ends well or with an error.
fn run(number: Bytes) -> (usize, bool) {
    (usize::from(number[0]), number[1] == 1)
}

#[tokio::test(start_paused = true)]
async fn all_items_arrive_once_and_then_the_end_whatever_the_window() {
    let network = Network::default();
    let serve = |builder: grid::ManagerBuilder| {
        builder.stream(RUN, Windows::responses(64), |_, opening: Bytes, _, outbound| async move {
            let (count, fails) = run(opening);
            for number in 0..count {
                outbound.send(item(number)).await?;
            }
            if fails { Err(RemoteError::new("at the end")) } else { Ok(()) }
        })
    };
    let (left, right) = network.pair(|left| left, serve).await;
    for window in 1..=64_u32 {
        for (fails, pause) in [(false, 0), (true, 0), (false, 1), (true, 1)] {
            let count = u8::try_from(window * 3 + 1).expect("less than 256");
            let call = only(&left).stream(RUN, Windows::responses(window), [count, fails.into()]);
            let (_, mut inbound) = within(call.into_future()).await.expect("it opens");
            let mut read = Vec::new();
            let error = loop {
                sleep(Duration::from_millis(pause)).await;
                match within(inbound.next()).await {
                    Some(Ok(item)) => read.push(item),
                    Some(Err(error)) => break Some(error),
                    None => break None,
                }
            };
            assert_eq!(read, items(0..count.into()), "window {window}");
            let expected = fails.then(|| CallError::Remote(RemoteError::new("at the end")));
            assert_eq!(error, expected, "window {window}");
            assert_eq!(within(inbound.next()).await, None, "nothing comes after the end");
        }
    }
    assert_idle([&left, &right]).await;
}

#[tokio::test(start_paused = true)]
async fn all_items_of_a_caller_arrive_once_and_then_its_end_whatever_the_window() {
    for window in 1..=64_u32 {
        let taps = Taps::default();
        let (left, right) = nodes(&taps, window).await;
        let (outbound, mut inbound) = opened(&left, COLLECT, window, "slow").await;
        let tap = taps.tap("slow");
        let count = usize::try_from(window * 3 + 1).expect("it fits");
        let sending = async {
            for number in 0..count {
                outbound.send(item(number)).await.expect("it goes on");
            }
            outbound.finish().await.expect("it has not ended");
        };
        let reading = async {
            for _ in 0..=count {
                sleep(Duration::from_millis(1)).await;
                tap.open(1);
            }
            read_all(&mut inbound).await
        };
        let ((), answer) = within(async { tokio::join!(sending, reading) }).await;
        assert_eq!(answer, Read { items: vec![item(count)], error: None });
        assert_eq!(tap.read(), items(0..count), "window {window}");
        assert_idle([&left, &right]).await;
    }
}

/// One stream is not read for an hour, beside a thousand that come and go.
#[tokio::test(start_paused = true)]
async fn a_stream_that_nobody_reads_is_no_burden_to_those_that_come_and_go() {
    let taps = Taps::default();
    let (left, right) = nodes(&taps, 16).await;
    let (unread, inbound) = opened(&left, COLLECT, 16, "unread").await;
    let sent = Arc::new(AtomicUsize::new(0));
    let sender = {
        let sent = Arc::clone(&sent);
        tokio::spawn(async move { flood_with(&unread, 1000, &sent).await })
    };
    for _ in 0..60 {
        assert_others_go_on(&left, &right, 16).await;
        sleep(Duration::from_secs(60)).await;
    }
    assert_eq!((sent.load(Ordering::SeqCst), only(&right).stats().unread_bytes), (16, 16 * 1064));
    drop(inbound);
    within(sender).await.expect("no panic");
    settle().await;
    assert_idle([&left, &right]).await;
}

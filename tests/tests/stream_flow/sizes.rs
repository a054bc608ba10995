//! Items that are too large, or very large, and streams that are very many.

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::{SinkExt, stream};
use grid::{ManagerBuilder, SendError};
use grid_tests::memory::{Network, settle, within};
use grid_tests::mesh::{only, pair, soon};
use grid_tests::probe::Visits;
use grid_tests::streams::{Read, assert_idle, item, read_all};
use tokio::time::{Duration, sleep};

use crate::handlers::{ECHO, Taps};

const MESSAGE_MAX: usize = 16 << 10;
/// Sends an item of as many bytes as the opening says; an item that is too large is told of instead.
const OWN: u8 = 31;

fn limited(builder: ManagerBuilder) -> ManagerBuilder {
    builder.limits(|limits| limits.message_bytes_max = MESSAGE_MAX)
}

/// The largest item, found out by sending one that is too large.
fn limit(error: SendError, sent: usize) -> usize {
    match error {
        SendError::TooLarge { size, limit } => {
            assert_eq!(size, sent);
            assert!((MESSAGE_MAX - 1024..MESSAGE_MAX).contains(&limit), "all but what a frame needs: {limit}");
            limit
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn an_item_that_is_too_large_is_not_sent_and_the_stream_goes_on() {
    let taps = Taps::default();
    let serve = |builder| limited(taps.serve(builder, 2));
    let (left, right) = Network::default().pair(limited, serve).await;
    let call = only(&left).stream(ECHO, 2, "");
    let (mut outbound, mut inbound) = within(call.into_future()).await.expect("it opens");
    let error = outbound.send(Bytes::from(vec![7; MESSAGE_MAX])).await.expect_err("it is too large");
    let limit = limit(error, MESSAGE_MAX);
    for size in [limit, limit + 1, 0, 1, limit + 1, MESSAGE_MAX * 10, limit] {
        let item = Bytes::from(vec![7; size]);
        let sent = match size % 2 {
            0 => within(outbound.send(item.clone())).await,
            _ => within(SinkExt::send(&mut outbound, item.clone())).await,
        };
        match size > limit {
            true => assert_eq!(sent, Err(SendError::TooLarge { size, limit })),
            false => {
                assert_eq!(sent, Ok(()));
                assert_eq!(within(inbound.next()).await, Some(Ok(item)), "{size} bytes");
            }
        }
    }
    within(outbound.finish()).await.expect("it has not ended");
    assert_eq!(within(inbound.next()).await, None);
    assert_eq!(only(&left).stats().reconnects, 0);
    assert_idle([&left, &right]).await;
}

#[tokio::test(start_paused = true)]
async fn a_handler_is_told_of_an_item_that_is_too_large_and_goes_on() {
    let serve = |builder| {
        limited(builder).stream(OWN, 2, |_, _, _, outbound| async move {
            let error = outbound.send(Bytes::from(vec![7; MESSAGE_MAX])).await.expect_err("it is too large");
            let limit = limit(error, MESSAGE_MAX);
            outbound.send(Bytes::from(vec![7; limit])).await?;
            let error = outbound.send(Bytes::from(vec![7; limit + 1])).await.expect_err("it is too large");
            Ok(outbound.send(error.to_string().into()).await?)
        })
    };
    let (left, right) = Network::default().pair(limited, serve).await;
    let call = only(&left).stream(OWN, 2, "");
    let (_outbound, mut inbound) = within(call.into_future()).await.expect("it opens");
    let read = within(read_all(&mut inbound)).await;
    let limit = read.items[0].len();
    let text = format!("the item of {} bytes is more than the limit of {limit}", limit + 1);
    assert_eq!((&read.items[1..], read.error), (&[Bytes::from(text)][..], None));
    assert_idle([&left, &right]).await;
}

/// Larger than the outbox, than a window's usual bytes and than what is written at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_item_of_many_megabytes_arrives_beside_small_ones() {
    const BYTES: usize = 24 << 20;
    let taps = Taps::default();
    let (left, right) = pair(|left| left, |right| taps.serve(right, 4)).await;
    let large = Bytes::from_iter((0..BYTES).map(|index| (index % 251) as u8));
    let (outbound, mut inbound) = soon(only(&left).stream(ECHO, 4, "").into_future()).await.expect("it opens");
    let (small, mut small_inbound) = soon(only(&left).stream(ECHO, 4, "").into_future()).await.expect("it opens");
    let sending = async {
        outbound.send(item(0)).await.expect("it goes on");
        outbound.send(large.clone()).await.expect("it goes on");
        outbound.send(item(1)).await.expect("it goes on");
        outbound.finish().await.expect("it has not ended");
    };
    let small = async {
        for number in 0..500 {
            small.send(item(number)).await.expect("it goes on");
            assert_eq!(small_inbound.next().await, Some(Ok(item(number))));
        }
        small.finish().await.expect("it has not ended");
        assert_eq!(small_inbound.next().await, None);
    };
    let ((), (), read) = soon(async { tokio::join!(sending, small, read_all(&mut inbound)) }).await;
    assert!(read.items == [item(0), large, item(1)], "{} items", read.items.len());
    assert_eq!(read.error, None);
    assert_eq!(only(&left).stats().reconnects, 0);
    assert_idle([&left, &right]).await;
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_streams_live_idle_and_are_cancelled_all_at_once() {
    const STREAMS: usize = 10_000;
    let taps = Taps::default();
    let (left, right) = Network::default()
        .pair(|left| left, |right| taps.serve(right, 16).limits(|limits| limits.streams_in_max = STREAMS))
        .await;
    let calls = (0..STREAMS).map(|_| only(&left).stream(ECHO, 16, "").into_future());
    let streams: Vec<_> = within(join_all(calls)).await.into_iter().map(|opened| opened.expect("it opens")).collect();
    assert_eq!((only(&left).stats().calls_out, only(&right).stats().calls_in), (STREAMS, STREAMS));
    // Longer than any time of silence.
    sleep(Duration::from_secs(200)).await;
    assert_eq!((only(&left).stats().calls_out, only(&right).stats().calls_in), (STREAMS, STREAMS));
    let echoes = streams.into_iter().enumerate().map(|(number, (outbound, mut inbound))| async move {
        outbound.send(item(number)).await.expect("it goes on");
        assert_eq!(inbound.next().await, Some(Ok(item(number))));
        (outbound, inbound)
    });
    let streams = within(join_all(echoes)).await;
    drop(streams);
    settle().await;
    assert_idle([&left, &right]).await;
    assert_eq!(taps.probe.visits(), Visits { started: STREAMS, finished: 0, dropped: STREAMS });
    assert_eq!(only(&left).stats().reconnects, 0);

    let (mut outbound, mut inbound) = within(only(&left).stream(ECHO, 16, "").into_future()).await.expect("it opens");
    let mut items = stream::iter((0..100).map(|number| Ok(item(number))));
    let (sent, read) = within(async {
        tokio::join!(
            async {
                outbound.send_all(&mut items).await?;
                outbound.finish().await
            },
            read_all(&mut inbound)
        )
    })
    .await;
    assert_eq!((sent, read), (Ok(()), Read::of(100, None)));
}

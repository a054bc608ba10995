//! What users put around streams and sinks.

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt, TryStreamExt, stream};
use grid::{CallError, Inbound, Outbound, RemoteError, SendError};
use grid_tests::memory::{Network, settle, within};
use grid_tests::mesh::{only, pair, soon};
use grid_tests::streams::{Read, assert_idle, item, items, large_item, read_all};
use tokio::sync::mpsc;

use crate::handlers::{COLLECT, ECHO, FLOOD, SUPPLY, Taps, demand};

type Halves = (Outbound<Bytes>, Inbound<Bytes, RemoteError>);

async fn nodes(taps: &Taps, window: u32) -> (grid::Manager, grid::Manager) {
    Network::default().pair(|left| left, |right| taps.serve(right, window)).await
}

async fn opened(node: &grid::Manager, id: u8, payload: impl AsRef<[u8]>) -> Halves {
    within(only(node).stream(id, 4, payload).into_future()).await.expect("it opens")
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_forwarded_into_a_sink_and_the_sink_is_finished() {
    let taps = Taps::default();
    let (left, right) = nodes(&taps, 4).await;
    taps.tap("tap").open_wide();
    let (outbound, mut inbound) = opened(&left, COLLECT, "tap").await;
    within(stream::iter(items(0..500).into_iter().map(Ok)).forward(outbound)).await.expect("it goes on");
    assert_eq!(within(read_all(&mut inbound)).await, Read { items: vec![item(500)], error: None });
    assert_eq!(taps.tap("tap").read(), items(0..500));
    assert_idle([&left, &right]).await;
}

/// One stream of grid into another.
#[tokio::test(start_paused = true)]
async fn what_comes_in_is_forwarded_to_what_goes_out() {
    let taps = Taps::default();
    let (left, right) = nodes(&taps, 4).await;
    let (demands, supply) = opened(&left, SUPPLY, "").await;
    let (outbound, mut inbound) = opened(&left, ECHO, "").await;
    demands.send(demand(300, 50)).await.expect("it goes on");
    demands.finish().await.expect("it has not ended");
    let forwarding = supply.map_err(|error| panic!("{error}")).forward(outbound);
    let (forwarded, read) = within(async { tokio::join!(forwarding, read_all(&mut inbound)) }).await;
    assert_eq!(forwarded, Ok(()));
    let expected: Vec<_> = (0..300).map(|number| large_item(number, 50)).collect();
    assert_eq!(read, Read { items: expected, error: None });
    assert_idle([&left, &right]).await;
}

#[tokio::test(start_paused = true)]
async fn send_all_sends_all_and_does_not_finish() {
    let taps = Taps::default();
    let (left, right) = nodes(&taps, 4).await;
    let (mut outbound, mut inbound) = opened(&left, ECHO, "").await;
    let sending = async {
        outbound.send_all(&mut stream::iter(items(0..100)).map(Ok)).await.expect("it goes on");
        SinkExt::send(&mut outbound, item(100)).await.expect("it goes on");
        outbound.send(item(101)).await.expect("it goes on");
        outbound.feed(item(102)).await.expect("it goes on");
        SinkExt::<Bytes>::close(&mut outbound).await.expect("it goes on");
        assert_eq!(outbound.send(item(103)).await, Err(SendError::Ended));
        assert_eq!(SinkExt::send(&mut outbound, item(103)).await, Err(SendError::Ended));
    };
    let ((), read) = within(async { tokio::join!(sending, read_all(&mut inbound)) }).await;
    assert_eq!(read, Read::of(103, None));
    drop(outbound);
    assert_idle([&left, &right]).await;
}

/// The end comes while a sink has an item that it could not send yet.
#[tokio::test(start_paused = true)]
async fn a_sink_whose_stream_ends_says_so() {
    let taps = Taps::default();
    let (left, right) = nodes(&taps, 4).await;
    let (outbound, inbound) = opened(&left, COLLECT, "tap").await;
    let forwarding = tokio::spawn(stream::repeat(Ok(item(0))).forward(outbound));
    settle().await;
    assert!(!forwarding.is_finished());
    drop(inbound);
    assert_eq!(within(forwarding).await.expect("no panic"), Err(SendError::Ended));
    settle().await;
    assert_idle([&left, &right]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_streams_at_a_time_by_buffer_unordered() {
    let taps = Taps::default();
    let (left, right) = pair(|left| left, |right| taps.serve(right, 4)).await;
    let connection = only(&left);
    let calls = stream::iter(0..400_usize).map(|number| {
        let call = connection.stream(SUPPLY, 4, "");
        async move {
            let (outbound, inbound) = call.await?;
            outbound.send(demand(number % 20, 8)).await.expect("it goes on");
            outbound.finish().await.expect("it goes on");
            let items: Vec<_> = inbound.try_collect().await?;
            Ok::<_, CallError<RemoteError>>(items.len())
        }
    });
    let counts: Vec<_> = soon(calls.buffer_unordered(32).try_collect()).await.expect("all end well");
    assert_eq!((counts.len(), counts.iter().sum::<usize>()), (400, 20 * (0..20).sum::<usize>()));
    assert_idle([&left, &right]).await;
}

/// Merged by what is ready first, each keeps its order and is heard of to its end.
#[tokio::test(start_paused = true)]
async fn select_over_streams_and_sends_loses_nothing() {
    let taps = Taps::default();
    let (left, right) = nodes(&taps, 2).await;
    let (one, mut one_inbound) = opened(&left, ECHO, "").await;
    let (two, mut two_inbound) = opened(&left, ECHO, "").await;
    let (mut got, mut sent) = ([Vec::new(), Vec::new()], [0, 0]);
    let read = within(async {
        while got.iter().any(|got| got.len() < 300) {
            tokio::select! {
                item = one_inbound.next() => got[0].push(item.expect("not the end").expect("no error")),
                item = two_inbound.next() => got[1].push(item.expect("not the end").expect("no error")),
                result = one.send(item(sent[0])), if sent[0] < 300 => {
                    result.expect("it goes on");
                    sent[0] += 1;
                }
                result = two.send(item(sent[1])), if sent[1] < 300 => {
                    result.expect("it goes on");
                    sent[1] += 1;
                }
            }
        }
        one.finish().await.expect("it has not ended");
        two.finish().await.expect("it has not ended");
        [read_all(&mut one_inbound).await, read_all(&mut two_inbound).await]
    })
    .await;
    assert_eq!(got, [items(0..300), items(0..300)]);
    assert_eq!(read, [Read::of(0, None), Read::of(0, None)]);
    assert_idle([&left, &right]).await;
}

/// A reader in a task of its own, which nobody waits for, and whose stream outlives whoever opened it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_lives_in_a_task_of_its_own() {
    let taps = Taps::default();
    let (left, right) = pair(|left| left, |right| taps.serve(right, 4)).await;
    let (told, mut telling) = mpsc::unbounded_channel();
    for stream in 0..10 {
        let (outbound, mut inbound) = soon(only(&left).stream(ECHO, 4, "").into_future()).await.expect("it opens");
        let told = told.clone();
        drop(tokio::spawn(async move { told.send((stream, read_all(&mut inbound).await)) }));
        drop(tokio::spawn(async move {
            for number in 0..100 {
                outbound.send(item(number)).await.expect("it goes on");
            }
            outbound.finish().await.expect("it has not ended");
        }));
    }
    let mut ended: Vec<_> = Vec::new();
    for _ in 0..10 {
        let (stream, read) = soon(telling.recv()).await.expect("the test holds a sender");
        assert_eq!(read, Read::of(100, None));
        ended.push(stream);
    }
    ended.sort_unstable();
    assert_eq!(ended, Vec::from_iter(0..10));
    assert_idle([&left, &right]).await;
}

/// Combinators that stop early drop what they took, which cancels the call.
#[tokio::test(start_paused = true)]
async fn an_adapter_that_stops_early_cancels_the_call() {
    let taps = Taps::default();
    let (left, right) = nodes(&taps, 4).await;
    let (outbound, inbound) = opened(&left, FLOOD, item(10)).await;
    let first: Vec<_> = within(inbound.take(7).try_collect()).await.expect("no error");
    assert_eq!(first.len(), 7);
    settle().await;
    let visits = taps.probe.visits();
    assert_eq!((visits.started, visits.finished + visits.dropped), (1, 1));
    assert_eq!(outbound.send(item(0)).await, Err(SendError::Ended));
    assert_idle([&left, &right]).await;
}

//! Loops around what ends at once wait for nothing. Others have their turn all the same, on a runtime of one thread:
//! the tasks of grid too, without which nothing would ever get better.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures_util::SinkExt;
use grid::{CallError, Inbound, Outbound, SendError, State};
use grid_tests::memory::{Network, dials, settle, within};
use grid_tests::probe::{ECHO, echo};

const STREAM: u8 = 20;
const PLENTY: u8 = 21;
/// Twice as many as tokio lets a task do at a time, and more.
const TURNS: usize = 300;

/// # Panics
/// Another task does not get its turn while this is done again and again.
async fn yields(what: &str, mut busy: impl AsyncFnMut()) {
    let had = Arc::new(AtomicBool::new(false));
    let other = Arc::clone(&had);
    tokio::spawn(async move { other.store(true, Ordering::Relaxed) });
    for _ in 0..TURNS {
        busy().await;
        if had.load(Ordering::Relaxed) {
            return;
        }
    }
    panic!("{what}: no other task had its turn");
}

#[tokio::test(start_paused = true)]
async fn a_loop_of_calls_that_cannot_be_made_lets_others_run() {
    let network = Network::default();
    let node = network.builder("http://a:1").peers(["http://b:1"]).build().expect("it starts");
    let connection = node.connection("http://b:1").expect("it is a peer");
    yields("no link", async || {
        let failed = connection.single(ECHO, "x").await;
        assert_eq!(failed, Err(CallError::Disconnected("http://b:1".into())));
    })
    .await;
    node.shutdown().await;
    yields("shut down", async || assert_eq!(connection.single(ECHO, "x").await, Err(CallError::Cancelled))).await;
    yields("never ready", async || assert!(connection.ready().await.is_err())).await;
}

#[tokio::test(start_paused = true)]
async fn a_loop_around_a_link_that_is_up_lets_others_run() {
    let network = Network::default();
    let [a, b] =
        if dials("http://a:1", "http://b:1") { ["http://a:1", "http://b:1"] } else { ["http://b:1", "http://a:1"] };
    let serving = echo(network.builder(b)).peers([a]).stream(STREAM, 1, |_, _, _, _| async { Ok(()) });
    let serving = serving.build().expect("it starts");
    network.add(&serving);
    let node = network.builder(a).peers([b]).build().expect("it starts");
    let connection = node.connection(b).expect("it is a peer");
    within(connection.ready()).await.expect("it connects");
    assert_eq!(connection.state(), State::Connected);
    yields("ready", async || assert_eq!(connection.ready().await, Ok(()))).await;
    let (mut outbound, mut inbound) = within(connection.stream(STREAM, 1, "").into_future()).await.expect("it opens");
    assert!(within(inbound.next()).await.is_none(), "its handler ends at once");
    yields("an ended stream", async || {
        assert!(matches!(outbound.send("x".into()).await, Err(SendError::Ended)));
    })
    .await;
    yields("an ended stream as a sink", async || {
        assert!(matches!(SinkExt::send(&mut outbound, "x".into()).await, Err(SendError::Ended)));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_loop_around_a_stream_that_keeps_pace_lets_others_run() {
    let window = u32::try_from(2 * TURNS).expect("it is small");
    let network = Network::default();
    let plenty = |_, _, inbound, outbound: Outbound<Bytes>| async move {
        for _ in 0..TURNS {
            outbound.send("x".into()).await?;
        }
        // It reads nothing, and goes on.
        let _inbound: Inbound<Bytes> = inbound;
        std::future::pending().await
    };
    let (node, serving) = network.pair(|builder| builder, |builder| builder.stream(PLENTY, window, plenty)).await;
    let connection = node.connection(serving.name()).expect("a peer");
    let (outbound, mut inbound) = within(connection.stream(PLENTY, window, "").into_future()).await.expect("it opens");
    settle().await;
    yields("items that are there", async || assert!(inbound.next().await.is_some_and(|item| item.is_ok()))).await;
    yields("credits that are there", async || assert_eq!(outbound.send("x".into()).await, Ok(()))).await;
}

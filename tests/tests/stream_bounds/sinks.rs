//! One half of a stream that is used as a sink and by its own methods, by several senders or by none.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, poll};
use grid::{Inbound, Manager, ManagerBuilder, RemoteError, Windows};
use grid_tests::memory::{Network, within};
use grid_tests::mesh::only;
use grid_tests::streams::{Read, assert_idle, item, read_all};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::halves::{ECHO, opened};

/// With which a second item waits for as long as the first one is not read.
const WINDOW: u32 = 1;
/// When the handler begins to read.
const LATE: Duration = Duration::from_secs(5);

/// An echo that reads nothing at first, so that senders run out of credits.
fn echo_late(builder: ManagerBuilder) -> ManagerBuilder {
    builder.stream(ECHO, WINDOW, |_, _, mut inbound, outbound| async move {
        sleep(LATE).await;
        while let Some(item) = inbound.next().await {
            outbound.send(item?).await?;
        }
        Ok(())
    })
}

async fn nodes() -> (Manager, Manager) {
    Network::default().pair(|left| left, echo_late).await
}

fn reader(mut inbound: Inbound<Bytes, RemoteError>) -> JoinHandle<Read<RemoteError>> {
    tokio::spawn(async move { read_all(&mut inbound).await })
}

#[tokio::test(start_paused = true)]
async fn what_is_fed_goes_before_what_is_sent() {
    let (left, right) = nodes().await;
    let (mut outbound, inbound) = opened(only(&left).stream(ECHO, WINDOW, "")).await;
    let reader = reader(inbound);
    within(outbound.send(item(0))).await.expect("it goes on");
    within(outbound.feed(item(1))).await.expect("it takes one more than goes out");
    within(outbound.send(item(2))).await.expect("it goes on");
    within(outbound.finish()).await.expect("it has not ended");
    assert_eq!(within(reader).await.expect("no panic"), Read::of(3, None));
    assert_idle([&left, &right]).await;
}

/// The flush was the first in the queue for a credit. Nobody polls it any more, and what was fed needs that credit.
#[tokio::test(start_paused = true)]
async fn a_send_behind_a_flush_that_was_dropped_goes_on() {
    let (left, right) = nodes().await;
    let (mut outbound, inbound) = opened(only(&left).stream(ECHO, WINDOW, "")).await;
    let reader = reader(inbound);
    within(outbound.send(item(0))).await.expect("it goes on");
    within(outbound.feed(item(1))).await.expect("it takes one more than goes out");
    assert!(poll!(pin!(outbound.flush())).is_pending(), "there is no credit");
    within(outbound.send(item(2))).await.expect("it goes on");
    within(outbound.finish()).await.expect("it has not ended");
    assert_eq!(within(reader).await.expect("no panic"), Read::of(3, None));
    assert_idle([&left, &right]).await;
}

/// The one in front has its credit and is not polled, and then dropped, as in a `select` loop that goes on.
#[tokio::test(start_paused = true)]
async fn a_send_that_is_dropped_passes_its_credit_on_to_the_next() {
    let (left, right) = nodes().await;
    let (outbound, inbound) = opened(only(&left).stream(ECHO, WINDOW, "")).await;
    let reader = reader(inbound);
    within(outbound.send(item(0))).await.expect("it goes on");
    let mut unpolled = Box::pin(outbound.send(item(9999)));
    assert!(poll!(unpolled.as_mut()).is_pending(), "there is no credit");
    let dropping = async {
        sleep(2 * LATE).await;
        drop(unpolled);
    };
    let (sent, ()) = within(async { tokio::join!(outbound.send(item(1)), dropping) }).await;
    sent.expect("it goes on");
    within(outbound.finish()).await.expect("it has not ended");
    assert_eq!(within(reader).await.expect("no panic"), Read::of(2, None));
    assert_idle([&left, &right]).await;
}

/// The handler takes items, so it reads to their end; the caller has nothing with which to end them.
#[tokio::test(start_paused = true)]
async fn a_caller_without_items_ends_the_input_of_a_handler_that_takes_some() {
    let (left, right) = nodes().await;
    let (_outbound, mut inbound) = opened(only(&left).stream(ECHO, Windows::responses(WINDOW), "")).await;
    assert_eq!(within(read_all(&mut inbound)).await, Read::of(0, None));
    assert_idle([&left, &right]).await;
}

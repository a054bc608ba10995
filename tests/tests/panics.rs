//! Handlers that panic, in every way. Under virtual time.

use std::future::Ready;
use std::panic::resume_unwind;
use std::time::Duration;

use bytes::Bytes;
use grid::{CallError, Context, Manager, ManagerBuilder, RefusalReason, RemoteError};
use grid_tests::memory::{Network, settle, within};
use grid_tests::mesh::only;
use grid_tests::probe::{ECHO, Probe, SLEEP, echo, sleep_for};
use tokio::time::sleep;

/// Panics with a text of as many bytes as the payload says.
const TEXT: u8 = 20;
/// Panics with something that is no text.
const VALUE: u8 = 21;
/// Panics before it gives a future.
const EARLY: u8 = 22;
/// Panics when it is dropped, which is never by itself.
const DROPPED: u8 = 23;

type Answer = Result<Bytes, RemoteError>;

// All of these without a word to standard error, which a panic of the usual kind would print.

async fn text(_: Context, payload: Bytes) -> Answer {
    let bytes: usize = std::str::from_utf8(&payload).expect("digits").parse().expect("a number");
    sleep(Duration::from_millis(1)).await;
    resume_unwind(Box::new("p".repeat(bytes)))
}

async fn value(_: Context, _: Bytes) -> Answer {
    resume_unwind(Box::new(7))
}

fn early(_: Context, _: Bytes) -> Ready<Answer> {
    resume_unwind(Box::new("early"))
}

async fn dropped(_: Context, _: Bytes) -> Answer {
    struct Guard;
    impl Drop for Guard {
        fn drop(&mut self) {
            resume_unwind(Box::new("dropped"));
        }
    }
    let _guard = Guard;
    std::future::pending().await
}

fn serve(builder: ManagerBuilder) -> ManagerBuilder {
    let builder = Probe::default().sleep(echo(builder)).limits(|limits| limits.message_bytes_max = 20_000);
    builder.single(TEXT, text).single(VALUE, value).single(EARLY, early).single(DROPPED, dropped)
}

async fn mesh() -> (Manager, Manager) {
    Network::default().pair(|left| left, serve).await
}

async fn panicked(node: &Manager, handler: u8, payload: &str) -> String {
    match only(node).single(handler, payload).await {
        Err(CallError::Refused(refusal)) if refusal.reason() == RefusalReason::Panicked => refusal.message().to_owned(),
        other => panic!("not refused for a panic: {other:?}"),
    }
}

/// The node goes on, on its first link, and nothing is left of the calls.
async fn assert_unharmed(left: &Manager, right: &Manager) {
    settle().await;
    assert_eq!(only(left).single(ECHO, "x").await, Ok(Bytes::from("x")));
    settle().await;
    for stats in [only(left).stats(), only(right).stats()] {
        assert_eq!((stats.calls_out, stats.calls_in, stats.reconnects), (0, 0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_panics_ends_its_own_call_and_no_other() {
    let (left, right) = mesh().await;
    let slow = tokio::spawn(only(&left).single(SLEEP, sleep_for(Duration::from_secs(9))).into_future());
    for _ in 0..10 {
        assert_eq!(panicked(&left, TEXT, "3").await, "handleMessages: panic recovered: ppp");
    }
    assert!(within(slow).await.expect("no panic").is_ok());
    assert_unharmed(&left, &right).await;
}

#[tokio::test(start_paused = true)]
async fn a_handler_may_panic_before_it_gives_a_future_and_with_no_text() {
    let (left, right) = mesh().await;
    assert_eq!(panicked(&left, EARLY, "").await, "handleMessages: panic recovered: early");
    assert_eq!(panicked(&left, VALUE, "").await, "handleMessages: panic recovered: a value");
    assert_unharmed(&left, &right).await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_with_a_text_beyond_what_a_message_may_be_leaves_the_link_alone() {
    let (left, right) = mesh().await;
    let text = panicked(&left, TEXT, "40000").await;
    assert!(text.starts_with("handleMessages: panic recovered: ppp"), "its beginning is told");
    assert_unharmed(&left, &right).await;
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_panics_as_it_is_dropped_leaves_nothing() {
    let (left, right) = mesh().await;
    for _ in 0..3 {
        let late = only(&left).single(DROPPED, "").timeout(Duration::from_secs(1)).await;
        assert_eq!(late, Err(CallError::DeadlineExceeded));
        let cancelled = tokio::spawn(only(&left).single(DROPPED, "").into_future());
        settle().await;
        cancelled.abort();
        settle().await;
    }
    assert_unharmed(&left, &right).await;
}

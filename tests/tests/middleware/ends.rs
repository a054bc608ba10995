//! The ends of calls: each is told once on each side.

use std::time::Duration;

use futures_util::StreamExt;
use grid::{CallError, RefusalReason};
use grid_tests::memory::{settle, within};
use grid_tests::mesh::only;

use super::stage::{Book, Play, Rules};

/// What a side has written of the end of its last call.
fn end(book: &Book) -> String {
    let lines = book.read();
    let [_, end] = lines.as_slice() else { panic!("a beginning and an end, not {lines:?}") };
    end.split_once(": ").expect("it has a name").1.to_owned()
}

async fn play() -> (Book, Book, Play) {
    let (caller, server) = (Book::new("caller", Rules::default()), Book::new("server", Rules::default()));
    let play = Play::with(&caller, &server).await;
    (caller, server, play)
}

#[tokio::test(start_paused = true)]
async fn single_requests_end_as_their_callers_see_it() {
    let (caller, server, play) = play().await;
    let client = play.client();

    within(client.echo("x")).await.expect("it answers");
    assert_eq!((end(&caller), end(&server)), ("Stage.echo ended well".into(), "Stage.echo ended well".into()));

    within(client.fail()).await.expect_err("it fails");
    assert_eq!(
        (end(&caller), end(&server)),
        ("Stage.fail: Remote(MethodError)".into(), "Stage.fail: Remote(MethodError)".into())
    );

    let Err(CallError::Refused(refusal)) = within(client.panic()).await else { panic!("it panics") };
    assert_eq!(refusal.reason(), RefusalReason::Panicked);
    assert_eq!(end(&caller), format!("Stage.panic refused: {refusal}"));
    assert_eq!(end(&server), "Stage.panic refused: the handler panicked");

    within(client.hang().timeout(Duration::from_secs(1))).await.expect_err("it hangs");
    settle().await;
    assert_eq!(end(&caller), "Stage.hang: DeadlineExceeded");
    assert_eq!(end(&server), "Stage.hang: DeadlineExceeded");

    tokio::time::timeout(Duration::from_secs(1), client.hang()).await.expect_err("it hangs");
    settle().await;
    assert_eq!((end(&caller), end(&server)), ("Stage.hang: Cancelled".into(), "Stage.hang: Cancelled".into()));
}

#[tokio::test(start_paused = true)]
async fn a_lost_link_ends_calls_on_both_sides() {
    let (caller, server, play) = play().await;
    let hanging = tokio::spawn(play.client().hang().into_future());
    play.probe.until(|visits| visits.started == 1).await;
    play.network.set_down(true);
    play.network.cut();
    let lost = within(hanging).await.expect("no panic");
    assert!(matches!(lost, Err(CallError::Disconnected(_))), "{lost:?}");
    settle().await;
    assert_eq!(end(&caller), format!("Stage.hang: Disconnected({:?})", play.right.name()));
    assert_eq!(end(&server), format!("Stage.hang: Disconnected({:?})", play.left.name()));

    let unsent = within(play.client().echo("x")).await;
    assert!(matches!(unsent, Err(CallError::Disconnected(_))), "{unsent:?}");
    assert_eq!(end(&caller), format!("Stage.echo: Disconnected({:?})", play.right.name()));
}

#[tokio::test(start_paused = true)]
async fn streams_end_when_their_end_is_read_or_a_half_is_dropped() {
    let (caller, server, play) = play().await;
    let client = play.client();

    let items = within(client.count(0)).await.expect("it opens");
    assert_eq!(caller.read().len(), 1, "a stream that is open has not ended");
    assert_eq!(within(items.collect::<Vec<_>>()).await, []);
    settle().await;
    assert_eq!(caller.read(), ["caller: Stage.count ended well"]);
    assert_eq!(end(&server), "Stage.count ended well");

    let (numbers, sum) = within(client.sum()).await.expect("it opens");
    numbers.finish().await.expect("it goes on");
    assert_eq!(within(sum).await, Ok(0));
    settle().await;
    assert_eq!((end(&caller), end(&server)), ("Stage.sum ended well".into(), "Stage.sum ended well".into()));

    let (numbers, doubled) = within(client.double()).await.expect("it opens");
    drop(doubled);
    settle().await;
    assert_eq!((end(&caller), end(&server)), ("Stage.double: Cancelled".into(), "Stage.double: Cancelled".into()));
    drop(numbers);
    assert_eq!(caller.read(), Vec::<String>::new(), "one end is enough");

    let late = within(client.sum().timeout(Duration::from_secs(1))).await.expect("it opens");
    assert_eq!(within(late.1).await, Err(CallError::DeadlineExceeded));
    settle().await;
    assert_eq!(
        (end(&caller), end(&server)),
        ("Stage.sum: DeadlineExceeded".into(), "Stage.sum: DeadlineExceeded".into())
    );
}

#[tokio::test(start_paused = true)]
async fn a_panic_at_the_end_hurts_nobody() {
    let caller = Book::new("caller", Rules { panics_at: Some("Stage.echo ended well"), ..Rules::default() });
    let server = Book::new("server", Rules { panics_at: Some("Stage.echo ended well"), ..Rules::default() });
    let play = Play::with(&caller, &server).await;
    within(play.client().echo("x")).await.expect("it answers");
    within(play.client().echo("x")).await.expect("it answers again");
    for book in [&caller, &server] {
        assert_eq!(book.read().len(), 4, "two beginnings and two ends");
    }
    let stats = [play.connection().stats(), only(&play.right).stats()];
    assert_eq!(stats.map(|stats| (stats.calls_out, stats.calls_in)), [(0, 0); 2]);
}

//! The items of streams.

use futures_util::StreamExt;
use grid::{CallError, Direction, RefusalReason, SendError};
use grid_tests::memory::{settle, within};
use grid_tests::mesh::only;

use super::stage::{Book, Play, Rules};

fn refuses(name: &'static str, direction: Direction, byte: u8) -> Book {
    Book::new(name, Rules { refuse_items: Some((direction, byte)), ..Rules::default() })
}

/// The lines about items.
fn items(book: &Book) -> Vec<String> {
    book.read().into_iter().filter(|line| line.contains(" item ")).collect()
}

#[tokio::test(start_paused = true)]
async fn each_item_is_seen_once_on_each_side() {
    let (caller, server) = (Book::new("caller", Rules::default()), Book::new("server", Rules::default()));
    let play = Play::with(&caller, &server).await;
    let (numbers, mut doubled) = within(play.client().double()).await.expect("it opens");
    for number in [1, 2] {
        numbers.send(number).await.expect("it goes on");
        assert_eq!(within(doubled.next()).await, Some(Ok(2 * number)));
    }
    let lines = |side, sent: &str, received: &str| {
        let line = |direction, item| format!("{side}: Stage.double item {direction} [{item}]");
        [line(sent, 1), line(received, 2), line(sent, 2), line(received, 4)]
    };
    assert_eq!(items(&caller), lines("caller", "Out", "In"));
    assert_eq!(items(&server), lines("server", "In", "Out"));

    let sum = within(play.client().sum()).await.expect("it opens");
    sum.0.finish().await.expect("it goes on");
    assert_eq!(within(sum.1).await, Ok(0));
    assert_eq!(items(&caller), Vec::<String>::new(), "the one answer to a stream is no item");
}

#[tokio::test(start_paused = true)]
async fn an_item_refused_before_it_is_sent_leaves_the_stream_as_it_was() {
    let caller = refuses("caller", Direction::Out, 7);
    let play = Play::with(&caller, &Book::default()).await;
    let (numbers, sum) = within(play.client().sum()).await.expect("it opens");
    numbers.send(1).await.expect("it goes on");
    let Err(SendError::Refused(refusal)) = numbers.send(7).await else { panic!("it is refused") };
    assert_eq!((refusal.reason(), refusal.message()), (RefusalReason::BadRequest, "caller does not like 7"));
    numbers.send(2).await.expect("it goes on");
    numbers.finish().await.expect("it goes on");
    assert_eq!(within(sum).await, Ok(3));
}

#[tokio::test(start_paused = true)]
async fn an_item_refused_on_its_arrival_ends_the_call_on_both_sides() {
    let server = refuses("server", Direction::In, 7);
    let play = Play::with(&Book::default(), &server).await;
    let (numbers, sum) = within(play.client().sum()).await.expect("it opens");
    for number in [1, 7, 2] {
        numbers.send(number).await.expect("it is queued");
    }
    let Err(CallError::Refused(refusal)) = within(sum).await else { panic!("it is refused") };
    assert_eq!((refusal.reason(), refusal.message()), (RefusalReason::BadRequest, "server does not like 7"));
    settle().await;
    let visits = play.probe.visits();
    assert_eq!((visits.started, visits.dropped), (1, 1), "the handler is dropped");
    let lines = ["item In [1]", "item In [7]", "refused: server does not like 7"]
        .map(|line| format!("server: Stage.sum {line}"));
    assert_eq!(server.read()[1..], lines, "its end is told as its caller has it");
    let stats = [play.connection().stats(), only(&play.right).stats()];
    assert_eq!(stats.map(|stats| (stats.calls_out, stats.calls_in, stats.unread_bytes)), [(0, 0, 0); 2]);
}

#[tokio::test(start_paused = true)]
async fn an_item_refused_by_its_reader_s_side_is_the_end_of_what_it_reads() {
    let caller = refuses("caller", Direction::In, 2);
    let play = Play::with(&caller, &Book::default()).await;
    let read: Vec<_> = within(within(play.client().count(100)).await.expect("it opens").collect()).await;
    let [Ok(0), Ok(1), Err(CallError::Refused(refusal))] = read.as_slice() else { panic!("{read:?}") };
    assert_eq!(refusal.message(), "caller does not like 2");
    assert_eq!(caller.read().last().expect("the end"), "caller: Stage.count refused: caller does not like 2");
    settle().await;
    assert_eq!(only(&play.right).stats().calls_in, 0);
}

#[tokio::test(start_paused = true)]
async fn a_returned_stream_ends_with_the_refusal_of_its_item() {
    let server = refuses("server", Direction::Out, 2);
    let play = Play::with(&Book::default(), &server).await;
    let read: Vec<_> = within(within(play.client().count(100)).await.expect("it opens").collect()).await;
    let [Ok(0), Ok(1), Err(CallError::Refused(refusal))] = read.as_slice() else { panic!("{read:?}") };
    assert_eq!((refusal.reason(), refusal.message()), (RefusalReason::BadRequest, "server does not like 2"));
}

fn panics(name: &'static str, line: &'static str) -> Book {
    Book::new(name, Rules { panics_at: Some(line), ..Rules::default() })
}

/// Nothing is left of any call, and the link is the first one.
async fn assert_unharmed(play: &Play) {
    settle().await;
    let stats = [play.connection().stats(), only(&play.right).stats()];
    assert_eq!(stats.map(|stats| (stats.calls_out, stats.calls_in, stats.unread_bytes)), [(0, 0, 0); 2]);
    assert_eq!(within(play.client().echo("x")).await, Ok("x, tenant -, user -".into()));
    assert_eq!(play.connection().stats().reconnects, 0);
}

#[tokio::test(start_paused = true)]
async fn a_panic_at_an_item_that_a_handler_reads_or_sends_is_one_of_the_handler() {
    let server = panics("server", "Stage.sum item In [7]");
    let play = Play::with(&Book::default(), &server).await;
    let (numbers, sum) = within(play.client().sum()).await.expect("it opens");
    for number in [1, 7] {
        numbers.send(number).await.expect("it is queued");
    }
    let Err(CallError::Refused(refusal)) = within(sum).await else { panic!("it panics") };
    assert_eq!((refusal.reason(), refusal.message()), (RefusalReason::Panicked, "handler panic: as told"));
    let visits = play.probe.visits();
    assert_eq!((visits.started, visits.dropped), (1, 1), "the handler is dropped");
    assert_eq!(server.read().last().expect("the end"), "server: Stage.sum refused: the handler panicked");
    assert_unharmed(&play).await;

    let play = Play::with(&Book::default(), &panics("server", "Stage.count item Out [2]")).await;
    let read: Vec<_> = within(within(play.client().count(100)).await.expect("it opens").collect()).await;
    let [Ok(0), Ok(1), Err(CallError::Refused(refusal))] = read.as_slice() else { panic!("{read:?}") };
    assert_eq!(refusal.reason(), RefusalReason::Panicked);
    assert_unharmed(&play).await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_at_an_item_that_a_caller_reads_or_sends_is_one_of_its_task_and_cancels_the_call() {
    let play = Play::with(&panics("caller", "Stage.sum item Out [7]"), &Book::default()).await;
    let (numbers, sum) = within(play.client().sum()).await.expect("it opens");
    let sending = tokio::spawn(async move { numbers.send(7).await });
    assert!(within(sending).await.expect_err("it panics").is_panic());
    assert_eq!(within(sum).await, Err(CallError::Cancelled));
    assert_unharmed(&play).await;
    let visits = play.probe.visits();
    assert_eq!(visits.started, visits.finished + visits.dropped);

    let play = Play::with(&panics("caller", "Stage.count item In [2]"), &Book::default()).await;
    let items = within(play.client().count(100)).await.expect("it opens");
    let reading = tokio::spawn(items.collect::<Vec<_>>());
    assert!(within(reading).await.expect_err("it panics").is_panic());
    assert_unharmed(&play).await;
}

/// The text of a refusal is cut, or a peer that takes small messages would end the link over it.
#[tokio::test(start_paused = true)]
async fn a_long_refusal_of_an_item_is_cut() {
    struct Wordy;
    impl grid::Middleware for Wordy {
        fn on_item(&self, _: &grid::CallInfo, _: Direction, _: &[u8]) -> Result<(), grid::Refusal> {
            Err(grid::Refusal::new(RefusalReason::BadRequest, "x".repeat(10_000)))
        }
    }
    let small = |left: grid::ManagerBuilder| left.limits(|limits| limits.message_bytes_max = 2_000);
    let play = Play::new(small, |right| right.middleware(Wordy)).await;
    let (numbers, sum) = within(play.client().sum()).await.expect("it opens");
    numbers.send(1).await.expect("it is queued");
    let Err(CallError::Refused(refusal)) = within(sum).await else { panic!("it is refused") };
    assert_eq!(refusal.message(), "x".repeat(512));
    assert_eq!(play.connection().stats().reconnects, 0);
}

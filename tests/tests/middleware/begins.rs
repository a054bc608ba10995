//! The beginnings of calls.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use grid::{CallError, CallInfo, Direction, Middleware, Refusal, RefusalReason};
use grid_tests::memory::{Network, settle, within};
use grid_tests::mesh::only;
use grid_tests::raw::{Frame, op};
use grid_tests::streams::scripted;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::stage::{Book, Play, Rules, StageClient};

/// Gives away what it sees.
struct Seen(mpsc::UnboundedSender<CallInfo>);

impl Middleware for Seen {
    async fn on_call(&self, call: &mut CallInfo, _: &[u8]) -> Result<(), Refusal> {
        self.0.send(call.clone()).expect("the test looks");
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn both_sides_see_who_calls_what_with_what() {
    let (sender, mut seen) = mpsc::unbounded_channel();
    let other = sender.clone();
    let play = Play::new(|left| left.middleware(Seen(sender)), |right| right.middleware(Seen(other))).await;
    let client = StageClient::new(play.connection().subroute("balcony"));

    let start = Instant::now();
    let call = client.echo("hello").metadata("tenant", "blue").timeout(Duration::from_secs(5));
    assert_eq!(within(call).await, Ok("hello, tenant blue, user -".into()));
    for direction in [Direction::Out, Direction::In] {
        let call = seen.try_recv().expect("it was seen");
        assert_eq!(call.direction(), direction);
        assert_eq!((call.caller(), call.callee()), (play.left.name(), play.right.name()));
        assert_eq!((call.service(), call.method()), (Some("Stage"), Some("echo")));
        assert_eq!(call.to_string(), "Stage.echo");
        assert_eq!(call.handler_id(), StageClient::ECHO);
        assert_eq!(call.subroute(), Some("balcony"));
        assert_eq!(call.metadata("tenant"), Some("blue"));
        assert_eq!(call.deadline(), Some(start + Duration::from_secs(5)));
        assert!(!call.is_stream());
    }

    let (_, sum) = within(play.client().sum()).await.expect("it opens");
    drop(sum);
    for _ in [Direction::Out, Direction::In] {
        let call = seen.try_recv().expect("it was seen");
        assert!(call.is_stream());
        assert_eq!((call.subroute(), call.deadline()), (None, None), "streams last for as long as they like");
    }
}

#[tokio::test(start_paused = true)]
async fn handlers_on_bytes_have_no_names() {
    let (sender, mut seen) = mpsc::unbounded_channel();
    let serve = |right: grid::ManagerBuilder| right.single(9_u8, async |_, payload: Bytes| Ok(payload));
    let network = Network::default();
    let (left, _right) = network.pair(|left| left.middleware(Seen(sender)), serve).await;
    assert_eq!(within(only(&left).single(9_u8, "x")).await, Ok(Bytes::from("x")));
    let call = seen.try_recv().expect("it was seen");
    assert_eq!((call.service(), call.method(), call.to_string()), (None, None, "handler 9".into()));
}

#[tokio::test(start_paused = true)]
async fn a_call_refused_by_the_caller_s_side_is_not_sent() {
    let caller = Book::new("caller", Rules { refuse_calls: Some(Direction::Out), ..Rules::default() });
    let server = Book::new("server", Rules::default());
    let play = Play::with(&caller, &server).await;

    let refused = within(play.client().echo("x")).await.expect_err("it is refused");
    let CallError::Refused(refusal) = refused else { panic!("{refused:?}") };
    assert_eq!((refusal.reason(), refusal.message()), (RefusalReason::Forbidden, "caller says no"));
    assert!(matches!(within(play.client().count(3)).await, Err(CallError::Refused(_))));
    settle().await;
    assert_eq!(server.read(), Vec::<String>::new());
    assert_eq!(caller.read(), ["caller: Out Stage.echo of 2 bytes", "caller: Out Stage.count of 1 bytes"]);
    assert_eq!(play.connection().stats().calls_out, 0);
}

#[tokio::test(start_paused = true)]
async fn a_call_refused_by_the_serving_side_reaches_no_handler() {
    let caller = Book::new("caller", Rules::default());
    let server = Book::new("server", Rules { refuse_calls: Some(Direction::In), ..Rules::default() });
    let play = Play::with(&caller, &server).await;

    let refused = within(play.client().echo("x")).await.expect_err("it is refused");
    let CallError::Refused(refusal) = refused else { panic!("{refused:?}") };
    assert_eq!((refusal.reason(), refusal.message()), (RefusalReason::Forbidden, "server says no"));
    let Err(CallError::Refused(refusal)) = within(play.client().sum()).await else { panic!("it does not open") };
    assert_eq!(refusal.reason(), RefusalReason::Forbidden);
    settle().await;
    assert_eq!(play.probe.visits().started, 0);
    assert_eq!(server.read(), ["server: In Stage.echo of 2 bytes", "server: In Stage.sum of 0 bytes"]);
    assert!(caller.read().contains(&"caller: Stage.sum refused: server says no".into()));
    assert_eq!(only(&play.right).stats().calls_in, 0);
}

/// A v1 peer takes what is not numbered after an acknowledgement for out of order, and so would not see the refusal.
#[tokio::test(start_paused = true)]
async fn a_stream_of_a_v1_peer_is_acknowledged_before_it_is_refused() {
    let server = Book::new("server", Rules { refuse_calls: Some(Direction::In), ..Rules::default() });
    let serve = |node: grid::ManagerBuilder| node.middleware(server).stream(20_u8, 1, |_, _, _, _| async { Ok(()) });
    let (_node, mut peer) = scripted(None, serve).await;
    peer.send(&Frame { handler: 20, ..Frame::new(op::CONNECT_MUX, 1) }).await;
    let ack = peer.recv().await;
    assert_eq!((ack.op, ack.mux, ack.seq), (op::ACK_MUX, 1, 0));
    let refused = peer.recv().await;
    assert_eq!((refused.op, refused.mux, refused.seq), (op::MUX_SERVER_MSG, 1, 1));
    assert_eq!(String::from_utf8_lossy(&refused.payload), "server says no");
}

#[tokio::test(start_paused = true)]
async fn metadata_is_added_on_either_side() {
    let caller = Book::new("c", Rules { add: Some((Direction::Out, "tenant", "blue")), ..Rules::default() });
    let server = Book::new("s", Rules { add: Some((Direction::In, "user", "ada")), ..Rules::default() });
    let play = Play::with(&caller, &server).await;
    assert_eq!(within(play.client().echo("x")).await, Ok("x, tenant blue, user ada".into()));
    let call = play.client().echo("x").metadata("tenant", "red");
    assert_eq!(within(call).await, Ok("x, tenant blue, user ada".into()), "the last one that is set counts");
}

#[tokio::test(start_paused = true)]
async fn too_much_metadata_of_a_middleware_is_too_large() {
    let long: &'static str = "x".repeat(10_000).leak();
    let caller = Book::new("c", Rules { add: Some((Direction::Out, "long", long)), ..Rules::default() });
    let play = Play::with(&caller, &Book::default()).await;
    let error = within(play.client().echo("x")).await.expect_err("it is too long");
    assert!(matches!(error, CallError::TooLarge { what: "the metadata", .. }), "{error:?}");
    assert!(caller.read().last().expect("it hears of the end").contains("TooLarge"));
}

#[tokio::test(start_paused = true)]
async fn they_are_asked_in_their_order_and_hear_of_ends_in_the_other() {
    let outer = Book::new("outer", Rules::default());
    let inner = outer.beside("inner", Rules::default());
    let no = outer.beside("no", Rules { refuse_calls: Some(Direction::Out), ..Rules::default() });
    let (first, second) = (outer.clone(), inner.clone());
    let play = Play::new(|left| left.middleware(first).middleware(second), |right| right).await;
    within(play.client().echo("x")).await.expect("it answers");
    assert_eq!(
        outer.read(),
        [
            "outer: Out Stage.echo of 2 bytes",
            "inner: Out Stage.echo of 2 bytes",
            "inner: Stage.echo ended well",
            "outer: Stage.echo ended well"
        ]
    );

    let (first, last) = (outer.clone(), inner.clone());
    let play = Play::new(|left| left.middleware(first).middleware(no).middleware(last), |right| right).await;
    within(play.client().echo("x")).await.expect_err("it is refused");
    assert_eq!(
        outer.read(),
        ["outer: Out Stage.echo of 2 bytes", "no: Out Stage.echo of 2 bytes", "outer: Stage.echo refused: no says no"]
    );
}

#[tokio::test(start_paused = true)]
async fn waiting_takes_of_the_time_of_the_call() {
    let slow = Rules { wait: Duration::from_secs(10), ..Rules::default() };
    let (caller, server) = (Book::new("caller", slow.clone()), Book::new("server", slow));
    let play = Play::with(&caller, &server).await;

    let start = Instant::now();
    assert_eq!(within(play.client().echo("x")).await, Ok("x, tenant -, user -".into()));
    assert_eq!(start.elapsed(), Duration::from_secs(20));
    caller.read();

    let start = Instant::now();
    let late = within(play.client().echo("x").timeout(Duration::from_secs(3))).await;
    assert_eq!((late, start.elapsed()), (Err(CallError::DeadlineExceeded), Duration::from_secs(3)));
    assert_eq!(caller.read(), ["caller: Out Stage.echo of 2 bytes"], "it had not let the call pass");

    server.read();
    let start = Instant::now();
    let late = within(play.client().echo("x").timeout(Duration::from_secs(15))).await;
    assert_eq!((late, start.elapsed()), (Err(CallError::DeadlineExceeded), Duration::from_secs(15)));
    settle().await;
    assert_eq!(server.read(), ["server: In Stage.echo of 2 bytes"]);
    assert_eq!(play.probe.visits().started, 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_while_it_is_asked_about_is_not_sent() {
    let outer = Book::new("outer", Rules::default());
    let slow = outer.beside("slow", Rules { wait: Duration::from_secs(10), ..Rules::default() });
    let first = outer.clone();
    let server = Book::new("server", Rules::default());
    let seen = server.clone();
    let play = Play::new(|left| left.middleware(first).middleware(slow), |right| right.middleware(seen)).await;
    let call = play.client().echo("x");
    assert!(tokio::time::timeout(Duration::from_secs(1), call).await.is_err());
    assert_eq!(
        outer.read(),
        ["outer: Out Stage.echo of 2 bytes", "slow: Out Stage.echo of 2 bytes", "outer: Stage.echo: Cancelled"]
    );
    settle().await;
    assert_eq!(server.read(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn quick_handlers_stay_quick_behind_one() {
    let server = Book::new("server", Rules::default());
    let play = Play::with(&Book::default(), &server).await;
    let client = Arc::new(play.client());
    for round in 0..200 {
        let echoed = within(client.echo("x")).await;
        assert!(echoed.is_ok(), "{round}: {echoed:?}");
    }
    assert_eq!(server.read().len(), 400);
}

#[tokio::test(start_paused = true)]
async fn being_asked_about_takes_no_time_of_a_short_call() {
    let play = Play::with(&Book::default(), &Book::default()).await;
    let echoed = within(play.client().echo("x").timeout(Duration::from_millis(1))).await;
    assert_eq!(echoed, Ok("x, tenant -, user -".into()));
}

#[tokio::test(start_paused = true)]
async fn a_panic_on_the_serving_side_ends_that_call_as_one_of_its_handler_would() {
    let outer = Book::new("outer", Rules::default());
    let at = |line| outer.beside("inner", Rules { panics_at: Some(line), ..Rules::default() });
    let [echo, sum] = ["In Stage.echo of 2 bytes", "In Stage.sum of 0 bytes"].map(at);
    let first = outer.clone();
    let play = Play::new(|left| left, |right| right.middleware(first).middleware(echo).middleware(sum)).await;
    // Of a quick handler it comes in the driver of the link.
    for _ in 0..3 {
        let Err(CallError::Refused(refusal)) = within(play.client().echo("x")).await else { panic!("it panics") };
        assert_eq!(refusal.reason(), RefusalReason::Panicked);
        assert!(refusal.message().contains("as told"), "{refusal}");
        let told = ["outer: In Stage.echo of 2 bytes", "inner: In Stage.echo of 2 bytes"];
        assert_eq!(outer.read(), [&told[..], &["outer: Stage.echo refused: the handler panicked"]].concat());
    }
    let Err(CallError::Refused(refusal)) = within(play.client().sum()).await else { panic!("it does not open") };
    assert_eq!(refusal.reason(), RefusalReason::Panicked);
    settle().await;
    assert_eq!(play.probe.visits().started, 0);
    assert_eq!(within(play.client().echo("another")).await, Ok("another, tenant -, user -".into()));
    let stats = only(&play.right).stats();
    assert_eq!((stats.calls_in, stats.reconnects), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_panic_on_the_calling_side_is_one_of_the_task_that_calls() {
    let outer = Book::new("outer", Rules::default());
    let inner = outer.beside("inner", Rules { panics_at: Some("Out Stage.echo of 2 bytes"), ..Rules::default() });
    let server = Book::new("server", Rules::default());
    let (first, seen) = (outer.clone(), server.clone());
    let play = Play::new(|left| left.middleware(first).middleware(inner), |right| right.middleware(seen)).await;
    let call = tokio::spawn(play.client().echo("x").into_future());
    assert!(within(call).await.expect_err("it panics").is_panic());
    let told = ["outer: Out Stage.echo of 2 bytes", "inner: Out Stage.echo of 2 bytes"];
    let heard = outer.read();
    assert!(heard.len() == 3 && heard[..2] == told, "who had let it pass hears of an end: {heard:?}");
    settle().await;
    assert_eq!(server.read(), Vec::<String>::new(), "nothing was sent");
    assert_eq!(within(play.client().echo("another")).await, Ok("another, tenant -, user -".into()));
    let stats = play.connection().stats();
    assert_eq!((stats.calls_out, stats.reconnects), (0, 0));
}

//! Links that die, in every way, and what becomes of calls and connections then. Under virtual time.

use std::io;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use grid::{BoxIo, CallError, Connection, Connector, LinkError, Manager, RefusalReason, ShutDown, State};
use grid_tests::memory::{LINK_BYTES, Network, names, settle, within};
use grid_tests::mesh::only;
use grid_tests::probe::{ECHO, HANG, Probe, echo};
use grid_tests::raw::{Frame, op};
use grid_tests::streams::{scripted, scripted_with_driver};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::Instant;

type Outcome = Result<Bytes, CallError<grid::RemoteError>>;

const SECOND: Duration = Duration::from_secs(1);

/// A call that has started and goes on by itself.
async fn started(connection: &Connection, payload: &[u8], timeout: Duration) -> JoinHandle<(Outcome, Instant)> {
    let call = connection.single(HANG, payload).timeout(timeout);
    let call = tokio::spawn(async move { (call.await, Instant::now()) });
    settle().await;
    call
}

fn disconnected(from: &Connection) -> Outcome {
    Err(CallError::Disconnected(from.remote().into()))
}

/// The first state for which the condition holds, and when that was.
async fn state(connection: &Connection, condition: impl Fn(&State) -> bool) -> (State, Instant) {
    let mut changes = connection.changes();
    let found = async {
        loop {
            let state = changes.next().await.expect("the node is not shut down");
            if condition(&state) {
                return (state, Instant::now());
            }
        }
    };
    within(found).await
}

fn is_down(state: &State) -> bool {
    matches!(state, State::Disconnected(_))
}

#[tokio::test(start_paused = true)]
async fn an_unknown_handler_is_refused_at_once_though_the_caller_serves_it() {
    let network = Network::default();
    let (left, right) = network.pair(echo, |right| right).await;
    let start = Instant::now();
    for (connection, under) in [(only(&left), ""), (only(&left).subroute("disk1"), " under subroute \"disk1\"")] {
        let Err(CallError::Refused(refusal)) = connection.single(ECHO, "x").await else { panic!("it was run") };
        assert_eq!(refusal.reason(), RefusalReason::UnknownHandler);
        let wanted = format!("handler 10 is not served{under} by {}", right.name());
        assert_eq!(refusal.message(), wanted);
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(only(&right).single(ECHO, "x").await, Ok(Bytes::from("x")), "the left node serves it");
}

#[tokio::test(start_paused = true)]
async fn without_a_link_a_call_ends_at_once() {
    let network = Network::default();
    let (left, right) = names();
    let left = network.builder(&left).peers([right]).build().expect("it starts");
    let connection = only(&left);
    assert_eq!(connection.single(ECHO, "x").await, disconnected(&connection));
    assert_eq!(connection.stats().calls_out, 0);
}

#[tokio::test(start_paused = true)]
async fn ready_ends_with_an_error_when_the_node_is_shut_down_while_it_waits() {
    let network = Network::default();
    let (name, peer) = names();
    let shut_down = network.builder(&name).peers([&*peer]).build().expect("it starts");
    let dropped = network.builder(&name).peers([&*peer]).build().expect("it starts");
    let waiting = [&shut_down, &dropped].map(|node| {
        let connection = only(node);
        tokio::spawn(async move { connection.ready().await })
    });
    tokio::time::sleep(100 * SECOND).await;
    assert!(waiting.iter().all(|ready| !ready.is_finished()), "there is nobody to connect to");

    let connection = only(&shut_down);
    within(shut_down.shutdown()).await;
    drop(dropped);
    for ready in waiting {
        assert_eq!(within(ready).await.expect("no panic"), Err(ShutDown));
    }
    assert_eq!(connection.ready().await, Err(ShutDown), "also afterwards");
    assert_eq!(connection.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_stops_reading_is_dropped_after_four_seconds_and_dialled_again() {
    let network = Network::default();
    let probe = Probe::default();
    let (left, _right) = network.pair(|left| left, |right| probe.hang(echo(right))).await;
    let connection = only(&left);
    network.freeze();
    let start = Instant::now();
    let impatient = started(&connection, &[0; 1 << 20], 2 * SECOND).await;
    let patient = started(&connection, &[0; 1 << 10], 60 * SECOND).await;

    let (outcome, at) = within(impatient).await.expect("no panic");
    assert_eq!((outcome, at - start), (Err(CallError::DeadlineExceeded), 2 * SECOND));
    let (why, at) = state(&connection, is_down).await;
    assert_eq!((why, at - start), (State::Disconnected(Some(LinkError::WriteTimeout)), 4 * SECOND));
    let (outcome, at) = within(patient).await.expect("no panic");
    assert_eq!((outcome, at - start), (disconnected(&connection), 4 * SECOND));

    let (why, _) = state(&connection, |state| *state == State::Disconnected(Some(LinkError::HandshakeTimeout))).await;
    assert!(is_down(&why), "it is dialled, and does not answer");
    network.thaw();
    within(connection.ready()).await.expect("not shut down");
    assert_eq!(connection.single(ECHO, "back").await, Ok(Bytes::from("back")));
    assert_eq!(probe.visits().started, 0, "nothing is sent again");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_falls_silent_is_dead_after_twenty_seconds_and_dialled_again() {
    let network = Network::default();
    let probe = Probe::default();
    let (left, right) = network.pair(|left| left, |right| probe.hang(echo(right))).await;
    let (near, far) = (only(&left), only(&right));
    let connected = Instant::now();
    let call = started(&near, b"", 60 * SECOND).await;
    network.silence();
    let down = [&near, &far].map(|connection| {
        let connection = connection.clone();
        tokio::spawn(async move { state(&connection, is_down).await })
    });
    for down in down {
        let (why, at) = within(down).await.expect("no panic");
        assert_eq!((why, at - connected), (State::Disconnected(Some(LinkError::Dead)), 20 * SECOND));
    }
    let (outcome, at) = within(call).await.expect("no panic");
    assert_eq!((outcome, at - connected), (disconnected(&near), 20 * SECOND));
    probe.until(|visits| visits.dropped == 1).await;
    within(near.ready()).await.expect("not shut down");
    assert_eq!(near.single(ECHO, "back").await, Ok(Bytes::from("back")));
    assert_eq!(connected.elapsed(), 20 * SECOND, "a link that held is dialled again at once");
}

/// One direction is gone: pings of the one side arrive, and their answers do not.
#[tokio::test(start_paused = true)]
async fn a_link_that_carries_one_way_only_is_dead_after_twenty_seconds() {
    let network = Network::default();
    let (left, right) = network.pair(|left| left, echo).await;
    let (near, far) = (only(&left), only(&right));
    let connected = Instant::now();
    network.hold_dialling();
    let down = tokio::spawn({
        let near = near.clone();
        async move { state(&near, is_down).await }
    });
    let (why, at) = within(down).await.expect("no panic");
    assert_eq!((why, at - connected), (State::Disconnected(Some(LinkError::Dead)), 20 * SECOND));
    within(near.ready()).await.expect("not shut down");
    assert_eq!(near.single(ECHO, "back").await, Ok(Bytes::from("back")));
    assert_eq!((near.stats().reconnects, far.stats().reconnects), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn an_idle_link_lives_on_by_its_pings() {
    let network = Network::default();
    let (left, right) = network.pair(echo, echo).await;
    tokio::time::sleep(3600 * SECOND).await;
    for connection in [only(&left), only(&right)] {
        assert_eq!((connection.state(), connection.stats().reconnects), (State::Connected, 0));
        assert_eq!(connection.single(ECHO, "x").await, Ok(Bytes::from("x")));
    }
}

/// The dialling node is gone without a word, and another process takes its name.
#[tokio::test(start_paused = true)]
async fn a_new_process_of_the_same_name_takes_over_and_ends_the_calls_of_the_old_one() {
    let network = Network::default();
    let (here, there) = (Probe::default(), Probe::default());
    let (left, right) = network.pair(|left| there.hang(left), |right| here.hang(right)).await;
    let far = only(&right);
    let from_old = started(&only(&left), b"", 60 * SECOND).await;
    let to_old = started(&far, b"", 60 * SECOND).await;
    network.silence();
    let start = Instant::now();
    let old = left.name().to_owned();
    drop(left);
    let (outcome, _) = within(from_old).await.expect("no panic");
    assert_eq!(outcome, Err(CallError::Cancelled), "its node is gone");
    settle().await;
    assert_eq!(far.state(), State::Connected, "nothing told it");
    assert!(!to_old.is_finished());

    let new = network.builder(&old).peers([right.name()]);
    let new = echo(new).build().expect("it starts");
    within(only(&new).ready()).await.expect("not shut down");
    let (outcome, at) = within(to_old).await.expect("no panic");
    assert_eq!((outcome, at - start < SECOND), (disconnected(&far), true));
    here.until(|visits| visits.dropped == 1).await;
    assert_eq!(far.single(ECHO, "new").await, Ok(Bytes::from("new")));
    assert_eq!(far.stats().reconnects, 1);
    settle().await;
    assert_eq!((far.stats().calls_out, far.stats().calls_in), (0, 0));
}

/// A link whose writer is stalled is closed as soon as another one replaces it.
#[tokio::test(start_paused = true)]
async fn a_replaced_link_is_closed_at_once_though_its_peer_reads_nothing() {
    let network = Network::default();
    let (left, right) = network.pair(|left| left, |right| right).await;
    network.silence();
    let stalled = started(&only(&right), &[0; 2 * LINK_BYTES], 60 * SECOND).await;
    let queued = started(&only(&right), b"", 60 * SECOND).await;
    assert_eq!(network.open_ends(), 2);
    let new = network.builder(left.name()).peers([right.name()]).build().expect("it starts");
    within(only(&new).ready()).await.expect("not shut down");
    for call in [stalled, queued] {
        assert_eq!(within(call).await.expect("no panic").0, disconnected(&only(&right)));
    }
    settle().await;
    assert_eq!(network.open_ends(), 3, "both ends of the new link, and the end of the old process");
}

/// The dialled node is another process after the link was lost.
#[tokio::test(start_paused = true)]
async fn calls_to_a_process_that_was_replaced_end_and_are_not_sent_to_the_new_one() {
    let network = Network::default();
    let (old, new) = (Probe::default(), Probe::default());
    let (left, right) = network.pair(|left| left, |right| old.hang(right)).await;
    let connection = only(&left);
    let call = started(&connection, b"", 60 * SECOND).await;
    let name = right.name().to_owned();
    drop(right);
    network.remove(&name);
    let right: Manager = new.hang(echo(network.builder(&name).peers([left.name()]))).build().expect("it starts");
    network.add(&right);
    network.cut();
    let (outcome, _) = within(call).await.expect("no panic");
    assert_eq!(outcome, disconnected(&connection));
    old.until(|visits| visits.dropped == 1).await;
    within(connection.ready()).await.expect("not shut down");
    assert_eq!(connection.single(ECHO, "x").await, Ok(Bytes::from("x")));
    assert_eq!(new.visits().started, 0);
}

/// Nothing but a reconnection of the same peer replaces a link: one that is refused leaves it alone.
#[tokio::test(start_paused = true)]
async fn a_connection_that_is_refused_leaves_the_link_of_its_name_alone() {
    let network = Network::default();
    let secret = |builder: grid::ManagerBuilder| echo(builder.shared_secret("good"));
    let (left, right) = network.pair(secret, secret).await;
    let forged = network.builder(left.name()).shared_secret("bad").peers([right.name()]).build().expect("it starts");
    let rejected = |state: &State| matches!(state, State::Disconnected(Some(LinkError::Rejected(_))));
    let (why, _) = state(&only(&forged), rejected).await;
    let text = "auth token: signed with another secret, or for another node";
    assert_eq!(why, State::Disconnected(Some(LinkError::Rejected(text.into()))));
    assert_eq!((only(&right).stats().reconnects, only(&left).stats().reconnects), (0, 0));
    assert_eq!(only(&right).single(ECHO, "x").await, Ok(Bytes::from("x")));
}

/// Who takes a connection in drives it, and may stop; the node goes on.
#[tokio::test(start_paused = true)]
async fn a_link_whose_driver_is_dropped_is_lost_and_not_shut_down() {
    let (node, mut peer, driver) = scripted_with_driver(None, |builder| builder).await;
    let connection = only(&node);
    let call = started(&connection, b"x", SECOND).await;
    assert_eq!(peer.recv().await.op, op::REQUEST);
    driver.abort();
    assert_eq!(within(call).await.expect("it ends").0, disconnected(&connection));
    assert_eq!(connection.state(), State::Disconnected(Some(LinkError::Dropped)));
}

/// Panics when it is to connect.
struct Panics;

impl Connector for Panics {
    fn connect<'a>(&'a self, _: &'a str) -> Pin<Box<dyn Future<Output = io::Result<BoxIo>> + Send + 'a>> {
        // Not seen by the hook, which would print it.
        Box::pin(async { resume_unwind(Box::new("as planned")) })
    }
}

#[tokio::test(start_paused = true)]
async fn a_connector_that_panics_is_asked_again() {
    let (dialling, dialled) = names();
    let node = Manager::builder(dialling).peers([&*dialled]).connector(Panics).build().expect("it starts");
    let failed = |state: &State| matches!(state, State::Disconnected(Some(LinkError::Unreachable { problem, .. })) if &**problem == "the connector panicked");
    within(state(&only(&node), failed)).await;
    assert!(Handle::current().metrics().num_alive_tasks() > 0, "it goes on");
    node.shutdown().await;
}

/// Dials through the network, byte streams that panic once when they are told to.
struct Fragile(Network, Arc<AtomicBool>);

struct FragileIo(BoxIo, Arc<AtomicBool>);

impl Connector for Fragile {
    fn connect<'a>(&'a self, name: &'a str) -> Pin<Box<dyn Future<Output = io::Result<BoxIo>> + Send + 'a>> {
        Box::pin(async { Ok(Box::new(FragileIo(self.0.connect(name).await?, Arc::clone(&self.1))) as BoxIo) })
    }
}

impl AsyncRead for FragileIo {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.1.swap(false, Ordering::Relaxed) {
            resume_unwind(Box::new("as planned"));
        }
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for FragileIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_below_a_link_ends_it_and_the_peer_is_dialled_again() {
    let network = Network::default();
    let (dialling, dialled) = names();
    let serving = echo(network.builder(&dialled)).peers([&*dialling]).build().expect("it starts");
    network.add(&serving);
    let panics = Arc::new(AtomicBool::new(false));
    let connector = Fragile(network.clone(), Arc::clone(&panics));
    let node = Manager::builder(dialling).peers([&*dialled]).connector(connector).build().expect("it starts");
    let connection = only(&node);
    for _ in 0..3 {
        within(connection.ready()).await.expect("it connects");
        assert!(within(connection.single(ECHO, "x")).await.is_ok());
        panics.store(true, Ordering::Relaxed);
        assert_eq!(within(connection.single(ECHO, "x")).await, disconnected(&connection));
    }
}

/// A peer says why it is about to leave; what is kept of that is not as long as it likes.
#[tokio::test(start_paused = true)]
async fn the_last_words_of_a_peer_are_cut() {
    let (node, mut peer) = scripted(Some(31), |builder| builder).await;
    let connection = only(&node);
    peer.send(&Frame::new(op::DISCONNECT, 0).payload(vec![0xff; 1 << 20])).await;
    within(state(&connection, |state| *state == State::Draining)).await;
    let Err(CallError::Refused(refusal)) = connection.single(ECHO, "x").await else { panic!("it leaves") };
    assert_eq!(refusal.reason(), RefusalReason::Draining);
    assert!(refusal.message().len() < 4 << 10, "{} bytes", refusal.message().len());
}

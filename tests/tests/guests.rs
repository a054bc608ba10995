//! Processes outside the mesh that connect to a node. Under virtual time.

use std::future::ready;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use grid::{
    CallError, ConnectError, Connection, Context, LinkError, Manager, ManagerBuilder, RefusalReason, RemoteError, State,
};
use grid_tests::memory::{Network, settle, within};
use grid_tests::mesh::{Place, soon};
use grid_tests::probe::{ECHO, HANG, Probe, echo};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, timeout};

/// Calls [`ECHO`] of its caller.
const BACK: u8 = 20;
/// Keeps its connection to the caller.
const KEEP: u8 = 21;

const URL: &str = "http://node:1";

type Kept = Arc<Mutex<Option<Connection>>>;

/// A node that lets guests in, at [`URL`].
fn node(network: &Network, with: impl FnOnce(ManagerBuilder) -> ManagerBuilder) -> Manager {
    let builder = echo(network.builder(URL))
        .allow_guests([ECHO, BACK].map(Into::into))
        .single(BACK, |cx: Context, payload: Bytes| async move {
            Ok::<_, RemoteError>(cx.connection().single(ECHO, payload).await?)
        });
    let node = with(builder).build().expect("it starts");
    network.add(&node);
    node
}

fn guest(network: &Network) -> grid::Connect {
    grid::connect(URL).connector(network.clone()).single(ECHO, |_, payload: Bytes| async { Ok(payload) })
}

async fn connected(network: &Network) -> Connection {
    within(guest(network).into_future()).await.expect("it is let in")
}

/// Serves [`KEEP`], which gives the node's side of the connection away.
fn keep(kept: &Kept) -> impl FnOnce(ManagerBuilder) -> ManagerBuilder + use<> {
    let kept = Arc::clone(kept);
    move |builder| {
        builder.allow_guests([KEEP.into()]).single(KEEP, move |cx: Context, payload: Bytes| {
            *kept.lock().unwrap() = Some(cx.connection());
            async { Ok(payload) }
        })
    }
}

fn rejected(why: &str) -> ConnectError {
    ConnectError::Link(LinkError::Rejected(why.into()))
}

#[tokio::test(start_paused = true)]
async fn a_guest_is_let_in_only_where_guests_are_allowed() {
    let network = Network::default();
    let node = echo(network.builder(URL)).build().expect("it starts");
    network.add(&node);
    let refused = within(guest(&network).into_future()).await.expect_err("guests are not allowed");
    assert!(refused.to_string().starts_with("rejected: unknown incoming host: guest://"), "{refused}");
    assert_eq!(network.dials().len(), 1, "it does not try again");
}

#[tokio::test(start_paused = true)]
async fn a_guest_fails_after_one_attempt_if_nobody_is_there() {
    let refused = within(guest(&Network::default()).into_future()).await;
    let why = LinkError::Unreachable { peer: URL.into(), problem: "connection refused".into() };
    assert_eq!(refused.err(), Some(ConnectError::Link(why)));
}

#[tokio::test(start_paused = true)]
async fn a_guest_needs_the_secret_of_the_mesh() {
    let network = Network::default();
    let _node = node(&network, |builder| builder.shared_secret("good"));
    let refused = within(guest(&network).shared_secret("bad").into_future()).await;
    assert_eq!(refused.err(), Some(rejected("auth token: signed with another secret, or for another node")));
    let connection = within(guest(&network).shared_secret("good").into_future()).await.expect("it is let in");
    assert_eq!(connection.single(ECHO, "x").await, Ok(Bytes::from("x")));
}

#[tokio::test(start_paused = true)]
async fn a_guest_and_its_node_call_each_other() {
    let network = Network::default();
    let _node = node(&network, |builder| builder);
    let connection = connected(&network).await;
    assert_eq!(connection.remote(), URL);
    assert!(connection.local().starts_with("guest://"), "{}", connection.local());
    assert_eq!(connection.single(ECHO, "there").await, Ok(Bytes::from("there")));
    assert_eq!(connection.single(BACK, "and back").await, Ok(Bytes::from("and back")));
}

#[tokio::test(start_paused = true)]
async fn guests_are_called_back_each_on_its_own_connection() {
    let network = Network::default();
    let _node = node(&network, |builder| builder);
    let mut connections = Vec::new();
    for name in ["one", "two"] {
        let named = move |_: Context, _: Bytes| async move { Ok::<_, RemoteError>(Bytes::from(name)) };
        let guest = grid::connect(URL).connector(network.clone()).single(ECHO, named);
        let connection = within(guest.into_future()).await.expect("it is let in");
        assert_eq!(connection.single(BACK, "who?").await, Ok(Bytes::from(name)));
        connections.push(connection);
    }
}

#[tokio::test(start_paused = true)]
async fn a_guest_reconnects() {
    let network = Network::default();
    let kept = Kept::default();
    let _node = node(&network, keep(&kept));
    let connection = connected(&network).await;
    connection.single(KEEP, "").await.expect("it answers");
    let far = kept.lock().unwrap().clone().expect("it is kept");
    for reconnects in 1..=3 {
        sleep(Duration::from_secs(60)).await;
        network.cut();
        settle().await;
        within(connection.ready()).await.expect("not shut down");
        assert_eq!(connection.single(BACK, "x").await, Ok(Bytes::from("x")));
        assert_eq!((connection.stats().reconnects, far.stats().reconnects), (reconnects, reconnects));
        assert_eq!(far.single(ECHO, "x").await, Ok(Bytes::from("x")), "the node's handle survives, too");
    }
}

#[tokio::test(start_paused = true)]
async fn the_connection_of_a_guest_ends_with_its_last_handle() {
    let network = Network::default();
    let (probe, kept) = (Probe::default(), Kept::default());
    let _node = node(&network, |builder| keep(&kept)(probe.hang(builder).allow_guests([HANG.into()])));
    let metrics = Handle::current().metrics();
    let before = metrics.num_alive_tasks();
    let connection = connected(&network).await;
    connection.single(KEEP, "").await.expect("it answers");
    let far = kept.lock().unwrap().take().expect("it is kept");
    let (clone, under, call) = (connection.clone(), connection.subroute("x"), connection.single(HANG, ""));
    drop((connection, clone));
    settle().await;
    assert_eq!((far.state(), network.open_ends()), (State::Connected, 2), "there is another handle");

    drop(under);
    let call = tokio::spawn(call.into_future());
    settle().await;
    assert_eq!(probe.visits().started, 1, "a call holds a handle, too");
    call.abort();
    probe.until(|visits| visits.dropped == 1).await;
    settle().await;
    assert!(matches!(far.state(), State::Disconnected(Some(LinkError::Closed(_)))), "{:?}", far.state());
    assert_eq!(network.open_ends(), 0);
    assert_eq!(metrics.num_alive_tasks(), before);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(network.dials().len(), 1, "it is not dialled again");
    assert_eq!(far.single(ECHO, "x").await, Err(CallError::Disconnected(far.remote().into())));
}

#[tokio::test(start_paused = true)]
async fn a_guest_that_stops_connecting_leaves_nothing() {
    let network = Network::default();
    let _node = node(&network, |builder| builder);
    let before = Handle::current().metrics().num_alive_tasks();
    network.freeze();
    let connecting = tokio::spawn(guest(&network).into_future());
    settle().await;
    assert_eq!(network.open_ends(), 2);
    connecting.abort();
    settle().await;
    network.thaw();
    settle().await;
    assert_eq!((network.open_ends(), Handle::current().metrics().num_alive_tasks()), (0, before));
}

/// The node lets it in and is gone at some moment after that.
#[tokio::test(start_paused = true)]
async fn a_guest_whose_node_is_gone_right_after_the_handshake_is_not_kept_waiting() {
    for steps in 0..30 {
        let network = Network::default();
        let gone = network.clone();
        let _node = node(&network, |builder| {
            builder.token_validator(move |_| {
                gone.set_down(true);
                let gone = gone.clone();
                tokio::spawn(async move {
                    for _ in 0..steps {
                        tokio::task::yield_now().await;
                    }
                    gone.cut();
                });
                ready(Ok(()))
            })
        });
        let connected = timeout(Duration::from_secs(60), guest(&network).into_future()).await;
        match connected.unwrap_or_else(|_| panic!("it waits, if the node is gone after {steps} steps")) {
            Ok(connection) => {
                settle().await;
                assert!(matches!(connection.state(), State::Disconnected(Some(_))), "{:?}", connection.state());
            }
            Err(why) => assert!(matches!(why, ConnectError::Link(_)), "{why}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn only_so_many_guests_are_connected_at_the_same_time() {
    let network = Network::default();
    let _node = node(&network, |builder| builder.limits(|limits| limits.guests_max = 2));
    let (first, second) = (connected(&network).await, connected(&network).await);
    let refused = within(guest(&network).into_future()).await;
    assert_eq!(refused.err(), Some(rejected("too many guests are connected")));
    for guest in [&first, &second] {
        assert_eq!(guest.single(ECHO, "x").await, Ok(Bytes::from("x")));
    }
    network.cut();
    settle().await;
    within(first.ready()).await.expect("not shut down");
    within(second.ready()).await.expect("a guest that comes back has its place");
    drop(first);
    settle().await;
    let third = connected(&network).await;
    assert_eq!(third.single(ECHO, "x").await, Ok(Bytes::from("x")));
}

#[tokio::test(start_paused = true)]
async fn many_guests_that_come_and_go_are_not_counted() {
    let network = Network::default();
    let _node = node(&network, |builder| builder.limits(|limits| limits.guests_max = 2));
    let before = Handle::current().metrics().num_alive_tasks();
    for _ in 0..100 {
        let connection = connected(&network).await;
        assert_eq!(connection.single(ECHO, "x").await, Ok(Bytes::from("x")));
        drop(connection);
        settle().await;
    }
    assert_eq!((network.open_ends(), Handle::current().metrics().num_alive_tasks()), (0, before));
}

#[tokio::test(start_paused = true)]
async fn a_guest_is_told_of_a_drain_and_that_its_node_is_gone() {
    let network = Network::default();
    let probe = Probe::default();
    let node = node(&network, |builder| probe.hang(builder).allow_guests([HANG.into()]));
    let connection = connected(&network).await;
    let call = tokio::spawn(connection.single(HANG, "").into_future());
    settle().await;
    let mut changes = connection.changes();
    assert_eq!(changes.next().await, Some(State::Connected));
    let start = Instant::now();
    within(node.shutdown()).await;
    assert_eq!(start.elapsed(), Duration::from_secs(10), "its call runs until the end of the drain");
    assert_eq!(within(call).await.expect("no panic"), Err(CallError::Disconnected(URL.into())));
    settle().await;
    assert!(matches!(connection.state(), State::Disconnected(_)));
}

#[tokio::test(start_paused = true)]
async fn a_guest_calls_what_it_is_allowed_to_call_and_nothing_else() {
    let network = Network::default();
    let probe = Probe::default();
    let node = node(&network, |builder| probe.hang(builder).stream(KEEP, 1, |_, _, _, _| async { Ok(()) }));
    let connection = connected(&network).await;
    let forbidden = |error| match error {
        CallError::Refused(refusal) => (refusal.reason(), refusal.message().to_owned()),
        other => panic!("not refused: {other:?}"),
    };
    let hang = within(connection.single(HANG, "")).await.expect_err("it is not for guests");
    assert_eq!(forbidden(hang), (RefusalReason::Forbidden, "handler 11 is not for guests".into()));
    let keep = within(connection.stream(KEEP, 1, "")).await.expect_err("it is not for guests");
    assert_eq!(forbidden(keep), (RefusalReason::Forbidden, "handler 21 is not for guests".into()));
    assert_eq!((probe.visits().started, node.stats().calls_in), (0, 0));
    assert_eq!(connection.single(ECHO, "x").await, Ok(Bytes::from("x")));
}

/// Over sockets, where a guest needs no connector.
#[tokio::test]
async fn a_guest_connects_over_a_socket() {
    let place = Place::new();
    let _node = echo(place.builder()).allow_guests([ECHO.into()]).start().await.expect("it starts");
    let connection = soon(grid::connect(place.name.clone()).into_future()).await.expect("it is let in");
    assert_eq!(soon(connection.single(ECHO, "x").into_future()).await, Ok(Bytes::from("x")));
}

//! Limits that are reached show in the stats, of the connection and of its node. Under virtual time. Those of merges and of
//! unread items do where they are tested, in `bad_input` and `stream_flow`.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use grid::{
    CallError, Connection, Inbound, LimitHits, Limits, LinkError, Manager, ManagerBuilder, RefusalReason, RemoteError,
    State, Windows,
};
use grid_tests::memory::{Network, settle, within};
use grid_tests::mesh::only;
use grid_tests::probe::{ECHO, HANG, Probe, echo};
use grid_tests::raw::{Frame, op};
use grid_tests::streams::scripted;

/// A stream that never ends.
const WAIT: u8 = 20;
/// Answers with much.
const LARGE: u8 = 21;

fn serve(builder: ManagerBuilder) -> ManagerBuilder {
    Probe::default().hang(echo(builder)).stream(WAIT, Windows::responses(1), |_, _, _, _| std::future::pending())
}

async fn nodes(left: impl Fn(&mut Limits), right: impl Fn(&mut Limits)) -> (Manager, Manager) {
    Network::default().pair(|builder| serve(builder).limits(left), |builder| serve(builder).limits(right)).await
}

fn unchanged(_: &mut Limits) {}

/// Of the connection, which the node says as well.
fn hits(node: &Manager) -> LimitHits {
    let hits = only(node).stats().limit_hits;
    assert_eq!(node.stats().limit_hits, hits);
    hits
}

fn overloaded<T: std::fmt::Debug>(outcome: Result<T, CallError<RemoteError>>) -> String {
    match outcome {
        Err(CallError::Refused(refusal)) if refusal.reason() == RefusalReason::Overloaded => {
            refusal.message().to_owned()
        }
        other => panic!("not overloaded: {other:?}"),
    }
}

/// Calls that hang, until they are dropped.
async fn hanging(connection: &Connection, count: usize) -> Vec<tokio::task::JoinHandle<()>> {
    let hang = |_| {
        let call = connection.single(HANG, "").timeout(Duration::from_secs(3600));
        tokio::spawn(async move { assert!(call.await.is_err()) })
    };
    let calls = (0..count).map(hang).collect();
    settle().await;
    calls
}

#[tokio::test(start_paused = true)]
async fn calls_and_their_bytes() {
    let (left, right) =
        nodes(unchanged, |limits| (limits.calls_in_max, limits.calls_in_bytes_max) = (2, 2 << 10)).await;
    let connection = only(&left);
    let calls = hanging(&connection, 2).await;
    assert_eq!(overloaded(within(connection.single(ECHO, "")).await), "too many calls are in flight");
    assert_eq!(hits(&right).calls_in_max, 1);
    let unread = tokio::spawn(connection.single(ECHO, "").into_future());
    settle().await;
    assert_eq!((hits(&right).calls_in_max, right.stats().calls_in), (2, 2));
    assert!(within(unread).await.is_ok());
    calls.iter().for_each(|call| call.abort());
    settle().await;

    let large = connection.single(HANG, vec![7; 1500]).timeout(Duration::from_secs(3600));
    let large = tokio::spawn(large.into_future());
    settle().await;
    let refused = within(connection.single(ECHO, vec![7; 1500])).await;
    assert_eq!(overloaded(refused), "too many bytes of requests are in flight");
    assert_eq!(hits(&right).calls_in_bytes_max, 1);
    large.abort();
    settle().await;
    assert_eq!(hits(&left), LimitHits::default(), "they are those of the side that refuses");
}

#[tokio::test(start_paused = true)]
async fn calls_of_this_side() {
    let (left, right) = nodes(|limits| limits.calls_out_max = 3, unchanged).await;
    let _calls = hanging(&only(&left), 3).await;
    overloaded(within(only(&left).single(ECHO, "")).await);
    assert_eq!((hits(&left).calls_out_max, hits(&right)), (1, LimitHits::default()));
}

#[tokio::test(start_paused = true)]
async fn streams_of_a_peer_are_fewer_than_its_calls() {
    let (left, right) = nodes(unchanged, |limits| limits.streams_in_max = 2).await;
    let open = || within(only(&left).stream(WAIT, Windows::responses(1), ""));
    let (first, _second) = (open().await.expect("it opens"), open().await.expect("it opens"));
    assert_eq!(overloaded(open().await), "too many streams are in flight");
    assert_eq!(hits(&right).streams_in_max, 1);
    assert_eq!(within(only(&left).single(ECHO, "x")).await, Ok(Bytes::from("x")), "single requests are let in");
    drop(first);
    settle().await;
    assert!(open().await.is_ok(), "there is a place again");
}

#[tokio::test(start_paused = true)]
async fn guests_do_not_take_the_places_of_peers() {
    const MAX: usize = 40;
    let network = Network::default();
    let [left, right] = ["http://a:1", "http://b:1"];
    let node = serve(network.builder(right)).peers([left]).limits(|limits| limits.calls_in_total_max = MAX);
    let node = node.allow_guests([ECHO.into(), HANG.into()]).build().expect("it starts");
    network.add(&node);
    let peer = network.builder(left).peers([right]).build().expect("it starts");
    network.add(&peer);
    let connection = peer.connection(right).expect("a peer");
    within(connection.ready()).await.expect("it is not shut down");
    let guest = within(grid::connect(right).connector(network.clone())).await.expect("it is let in");
    let _of_the_guest = hanging(&guest, MAX / 4).await;
    assert_eq!(overloaded(within(guest.single(ECHO, "")).await), "too many calls of all guests are in flight");
    let _of_the_peer = hanging(&connection, 3 * MAX / 4).await;
    assert_eq!(overloaded(within(connection.single(ECHO, "")).await), "too many calls of all peers are in flight");
    assert_eq!(node.stats().limit_hits.calls_in_total_max, 2);
}

#[tokio::test(start_paused = true)]
async fn metadata_is_counted_with_the_bytes_of_requests() {
    let (left, right) = nodes(unchanged, |limits| limits.calls_in_bytes_max = 10_000).await;
    let connection = only(&left);
    // 5,032 bytes as they are counted.
    let call = || connection.single(HANG, "").metadata("name", "x".repeat(4_996));
    let running = [call(), call()].map(|call| tokio::spawn(call.into_future()));
    settle().await;
    assert_eq!((right.stats().calls_in, hits(&right).calls_in_bytes_max), (1, 1));
    running.iter().for_each(|call| call.abort());
}

#[tokio::test(start_paused = true)]
async fn calls_of_all_peers_together() {
    const MAX: usize = 10;
    let network = Network::default();
    let names = ["http://a:1", "http://b:1", "http://c:1"];
    let node = serve(network.builder(names[0])).peers(names).limits(|limits| limits.calls_in_total_max = MAX);
    let node = node.build().expect("it starts");
    network.add(&node);
    let peers = names[1..].iter().map(|name| {
        let peer = network.builder(name).peers(names).build().expect("it starts");
        network.add(&peer);
        peer
    });
    let peers: Vec<_> = peers.collect();
    let connections = peers.iter().map(|peer| peer.connection(names[0]).expect("a peer"));
    let connections: Vec<_> = connections.collect();
    for connection in &connections {
        within(connection.ready()).await.expect("it is not shut down");
    }
    let first = hanging(&connections[0], 6).await;
    let second = hanging(&connections[1], 4).await;
    assert_eq!(node.stats().calls_in, MAX);
    for connection in &connections {
        assert_eq!(overloaded(within(connection.single(ECHO, "")).await), "too many calls of all peers are in flight");
    }
    assert_eq!(node.stats().limit_hits.calls_in_total_max, 2);

    first.iter().for_each(|call| call.abort());
    settle().await;
    // What one peer does not use the others may have after a ping, at the latest.
    tokio::time::sleep(Duration::from_secs(10)).await;
    let third = hanging(&connections[1], 6).await;
    assert_eq!(node.stats().calls_in, MAX);
    for call in second.iter().chain(&third) {
        call.abort();
    }
    settle().await;
    assert_eq!(node.stats().calls_in, 0);
    let calls = hanging(&connections[0], MAX / 2).await;
    assert!(calls.iter().all(|call| !call.is_finished()), "what was leased has come back");
}

#[tokio::test(start_paused = true)]
async fn what_is_too_large_for_the_other_side_is_not_sent_to_it() {
    let (left, right) = nodes(unchanged, |limits| limits.message_bytes_max = 10_000).await;
    let connection = only(&left);
    let (size, limit) = (9_745, 10_000 - 256);
    let too_large = within(connection.single(ECHO, vec![7; size])).await;
    assert_eq!(too_large, Err(CallError::TooLarge { what: "the request", size, limit }));
    assert_eq!(within(connection.single(ECHO, vec![7; limit])).await.map(|answer| answer.len()), Ok(limit));
    assert_eq!((hits(&left).message_bytes_max, hits(&right).message_bytes_max), (1, 0));
    assert_eq!(connection.stats().reconnects, 0);
}

#[tokio::test(start_paused = true)]
async fn an_item_that_the_other_side_does_not_take_is_not_sent_to_it() {
    let (left, right) = nodes(|limits| limits.message_bytes_max = 10_000, unchanged).await;
    let back = only(&right);
    let (outbound, _inbound) =
        within(back.stream(WAIT, Windows { inbound: 1, outbound: 1 }, "")).await.expect("it opens");
    let too_large = outbound.send(Bytes::from(vec![7; 9_745])).await;
    assert_eq!(too_large, Err(grid::SendError::TooLarge { size: 9_745, limit: 9_744 }));
    assert_eq!(hits(&right).message_bytes_max, 1);
    assert_eq!(only(&left).stats().reconnects, 0);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_the_caller_s_side_does_not_take_is_refused() {
    let large = |builder: ManagerBuilder| builder.single(LARGE, |_, _| async { Ok(Bytes::from(vec![7; 9_745])) });
    let small = |builder: ManagerBuilder| builder.limits(|limits| limits.message_bytes_max = 10_000);
    let (left, right) = Network::default().pair(small, large).await;
    let Err(CallError::Refused(refusal)) = within(only(&left).single(LARGE, "")).await else { panic!("too large") };
    assert_eq!(refusal.reason(), RefusalReason::BadAnswer);
    assert_eq!(refusal.message(), "the answer of 9745 bytes is more than a message may be, 10000");
    assert_eq!((hits(&left).message_bytes_max, hits(&right).message_bytes_max), (0, 1));
    assert_eq!(only(&left).stats().reconnects, 0);
}

#[tokio::test(start_paused = true)]
async fn metadata_of_either_side() {
    let (left, right) = nodes(unchanged, |limits| limits.metadata_bytes_max = 100).await;
    let call = |bytes| only(&left).single(ECHO, "").metadata("name", "x".repeat(bytes));
    let Err(CallError::Refused(refusal)) = within(call(100)).await else { panic!("it is refused") };
    assert_eq!(refusal.reason(), RefusalReason::BadRequest);
    assert!(matches!(within(call(10_000)).await, Err(CallError::TooLarge { what: "the metadata", .. })));
    assert_eq!((hits(&left).metadata_bytes_max, hits(&right).metadata_bytes_max), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn any_number_of_pairs_beyond_the_limit_costs_its_own_call_alone() {
    let (left, _right) = nodes(|limits| limits.metadata_bytes_max = 1 << 20, unchanged).await;
    let call = (0..5_000).fold(only(&left).single(ECHO, ""), |call, pair| call.metadata(pair.to_string(), ""));
    let Err(CallError::Refused(refusal)) = within(call).await else { panic!("it is refused") };
    assert_eq!(refusal.reason(), RefusalReason::BadRequest);
    assert!(within(only(&left).single(ECHO, "")).await.is_ok());
    assert_eq!(only(&left).stats().reconnects, 0);
}

#[tokio::test(start_paused = true)]
async fn room_that_had_to_be_waited_for() {
    let (left, _right) = nodes(|limits| limits.outbox_bytes_max = 4 << 10, unchanged).await;
    let calls = (0..50).map(|_| only(&left).single(ECHO, vec![7; 1000]).into_future());
    assert!(within(join_all(calls)).await.iter().all(Result::is_ok));
    assert!(hits(&left).outbox_bytes_max > 0);
}

#[tokio::test(start_paused = true)]
async fn guests_and_handshakes() {
    let network = Network::default();
    let node = serve(network.builder("http://a:1")).allow_guests([]);
    let node = node.limits(|limits| (limits.guests_max, limits.handshakes_max) = (1, 1)).build().expect("it starts");
    network.add(&node);
    let connect = || grid::connect("http://a:1").connector(network.clone());
    let guest = within(connect()).await.expect("it is let in");
    assert_eq!((node.stats().guests, node.stats().handshakes), (1, 0));
    within(connect()).await.expect_err("there is one already");
    assert_eq!(node.stats().limit_hits.guests_max, 1);

    let (silent, ours) = tokio::io::duplex(64);
    let (first, second) = (node.clone(), node.clone());
    tokio::spawn(async move { first.accept(ours).await });
    settle().await;
    assert_eq!(node.stats().handshakes, 1);
    let (other, ours) = tokio::io::duplex(64);
    tokio::spawn(async move { second.accept(ours).await });
    settle().await;
    assert_eq!((node.stats().handshakes, node.stats().limit_hits.handshakes_max), (1, 1));
    drop((silent, other, guest));
    settle().await;
    assert_eq!((node.stats().handshakes, node.stats().guests), (0, 0));
}

/// Counts what it reads.
fn reading(builder: ManagerBuilder) -> ManagerBuilder {
    let builder = builder.limits(|limits| limits.control_bytes_max = 8 << 10);
    builder.stream(WAIT, 64, |_, _, mut items: Inbound<Bytes>, _| async move {
        while items.next().await.is_some() {}
        Ok(())
    })
}

/// A peer may know what credits it has been granted, and go on, without having read of them.
#[tokio::test(start_paused = true)]
async fn credits_that_the_peer_does_not_read_of() {
    let (node, mut peer) = scripted(None, reading).await;
    peer.send(&Frame { handler: WAIT.into(), ..Frame::new(op::CONNECT_MUX, 1) }).await;
    let connection = only(&node);
    let mut seq = 0;
    while connection.state() == State::Connected {
        let item = |seq| Frame { seq, ..Frame::new(op::MUX_CLIENT_MSG, 1).payload("x") };
        let items: Vec<_> = (seq + 1..=seq + 32).map(item).collect();
        seq += 32;
        assert!(seq < 1 << 18, "it has granted {seq} credits, of which nobody has read");
        peer.send_merged(&items).await;
        settle().await;
    }
    let why = LinkError::LimitExceeded { limit: "control_bytes_max", max: 8 << 10 };
    assert_eq!(connection.state(), State::Disconnected(Some(why)));
    assert_eq!(hits(&node).control_bytes_max, 1);
}

/// What waits of answers is bounded in bytes as requests are, whatever the number of calls.
#[tokio::test(start_paused = true)]
async fn answers_that_the_peer_does_not_read() {
    const CALLS: usize = 200;
    const ANSWER: usize = 100 << 10;
    let few = |builder: ManagerBuilder| {
        let builder = builder.limits(|limits| limits.calls_in_bytes_max = 1 << 20);
        builder
            .timeouts(|timeouts| timeouts.write = Duration::from_secs(3600))
            .single(WAIT, |_, _| async { Ok(Bytes::from(vec![7; ANSWER])) })
    };
    let (node, mut peer) = scripted(Some(31), few).await;
    // All at once: of calls that come while answers wait, the excess is refused.
    let calls: Vec<_> = (1..=CALLS).map(|mux| Frame::request(mux as u64, WAIT.into(), "")).collect();
    peer.send_merged(&calls).await;
    settle().await;
    let mut sizes = Vec::new();
    for _ in 0..CALLS {
        let frame = peer.recv().await;
        match frame.payload.len() {
            ANSWER => {}
            _ => assert_eq!(String::from_utf8_lossy(&frame.payload), "too many bytes of answers wait to be sent"),
        }
        sizes.push(frame.payload.len());
    }
    let answers = sizes.iter().filter(|size| **size == ANSWER).count();
    // 1 MiB in the pipe, 3 in the outbox, and 2 that wait.
    assert!((40..70).contains(&answers), "{answers} of {CALLS}");
    assert_eq!(hits(&node).calls_in_bytes_max, (CALLS - answers) as u64);
}

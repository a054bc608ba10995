//! What a connection tells of itself: its state, its changes, its counts. Under virtual time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use grid::{Connection, ConnectionStats, LinkError, Manager, State};
use grid_tests::memory::{LINK_BYTES, Network, names, settle, within};
use grid_tests::mesh::{only, quick, soon};
use grid_tests::probe::{ECHO, HANG, Probe, echo};
use tokio::time::{sleep, timeout};

async fn mesh(network: &Network) -> (Manager, Manager) {
    network.pair(|left| left, |right| Probe::default().hang(echo(right))).await
}

fn in_flight(node: &Manager) -> (usize, usize) {
    let ConnectionStats { calls_out, calls_in, .. } = only(node).stats();
    (calls_out, calls_in)
}

/// What `changes` gives now, without waiting.
fn seen(changes: &mut (impl futures_util::Stream<Item = State> + Unpin)) -> Vec<State> {
    std::iter::from_fn(|| changes.next().now_or_never().flatten()).collect()
}

fn cut_off() -> State {
    State::Disconnected(Some(LinkError::Closed("connection reset".into())))
}

#[tokio::test(start_paused = true)]
async fn calls_are_counted_while_they_run() {
    let network = Network::default();
    let (left, right) = mesh(&network).await;
    assert_eq!((in_flight(&left), in_flight(&right)), ((0, 0), (0, 0)));
    let calls: Vec<_> = (0..3).map(|_| tokio::spawn(only(&left).single(HANG, "").into_future())).collect();
    settle().await;
    assert_eq!((in_flight(&left), in_flight(&right)), ((3, 0), (0, 3)));
    calls[0].abort();
    settle().await;
    assert_eq!((in_flight(&left), in_flight(&right)), ((2, 0), (0, 2)));
    network.cut();
    settle().await;
    assert_eq!((in_flight(&left), in_flight(&right)), ((0, 0), (0, 0)));
}

#[tokio::test(start_paused = true)]
async fn messages_are_counted_one_for_a_request_and_one_for_its_answer() {
    let network = Network::default();
    let (left, right) = mesh(&network).await;
    for _ in 0..5 {
        assert!(only(&left).single(ECHO, "x").await.is_ok());
    }
    settle().await;
    let (near, far) = (only(&left).stats(), only(&right).stats());
    assert_eq!((near.messages_out, near.messages_in), (5, 5));
    assert_eq!((far.messages_out, far.messages_in), (5, 5));

    let burst = futures_util::future::join_all((0..40).map(|_| only(&left).single(ECHO, "x").into_future()));
    assert!(burst.await.iter().all(Result::is_ok));
    settle().await;
    let merged = only(&left).stats().messages_out - 5;
    assert!((1..40).contains(&merged), "frames that are queued together go out in {merged} messages");
}

#[tokio::test(start_paused = true)]
async fn bytes_are_those_on_the_wire_over_all_links() {
    let network = Network::default();
    let (left, right) = mesh(&network).await;
    for bytes in [0, 1, 1_000, 100_000, 1_000_000] {
        for _ in 0..3 {
            let answer = only(&left).single(ECHO, vec![7; bytes]).await.map(|answer| answer.len());
            assert_eq!(answer, Ok(bytes));
        }
        sleep(Duration::from_secs(25)).await;
        network.cut();
        settle().await;
        within(only(&left).ready()).await.expect("not shut down");
        within(only(&right).ready()).await.expect("not shut down");
    }
    settle().await;
    let [dialling, accepting] = network.traffic();
    let (near, far) = (only(&left).stats(), only(&right).stats());
    assert_eq!((near.bytes_in, near.bytes_out), (dialling.read, dialling.written));
    assert_eq!((far.bytes_in, far.bytes_out), (accepting.read, accepting.written));
    assert_eq!((near.bytes_in, near.bytes_out), (far.bytes_out, far.bytes_in), "nothing was under way at the cuts");
    assert_eq!((near.reconnects, far.reconnects), (5, 5));
}

#[tokio::test(start_paused = true)]
async fn the_round_trip_of_a_ping_is_measured_once_there_was_one() {
    let network = Network::default();
    let (left, _right) = mesh(&network).await;
    assert_eq!(only(&left).stats().last_ping, None);
    sleep(Duration::from_millis(9_990)).await;
    assert_eq!(only(&left).stats().last_ping, None, "the first goes out after ten seconds");
    network.hold_dialling();
    sleep(Duration::from_millis(50)).await;
    network.thaw();
    settle().await;
    let trip = only(&left).stats().last_ping.expect("it was answered");
    assert!(trip > Duration::from_millis(30) && trip < Duration::from_millis(50), "{trip:?}");
}

/// The stats of a connection, which must not be less than they were.
fn grown(connection: &Connection, last: &mut ConnectionStats) {
    let stats = connection.stats();
    let counts = |stats: &ConnectionStats| {
        [stats.bytes_in, stats.bytes_out, stats.messages_in, stats.messages_out, stats.reconnects]
    };
    for (now, before) in counts(&stats).into_iter().zip(counts(last)) {
        assert!(now >= before, "first {last:?}, then {stats:?}");
    }
    *last = stats;
}

#[tokio::test(start_paused = true)]
async fn counts_do_not_go_back_when_a_link_is_lost() {
    let network = Network::default();
    let (left, right) = mesh(&network).await;
    let mut last = [ConnectionStats::default(); 2];
    for _ in 0..200 {
        within(only(&left).ready()).await.expect("not shut down");
        assert!(only(&left).single(ECHO, "x").await.is_ok());
        network.cut();
        for _ in 0..10 {
            grown(&only(&left), &mut last[0]);
            grown(&only(&right), &mut last[1]);
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn counts_do_not_go_back_when_a_link_is_replaced() {
    let network = Network::default();
    let (left, right) = mesh(&network).await;
    assert!(only(&left).single(ECHO, vec![0; 100_000]).await.is_ok());
    let (far, mut last) = (only(&right), ConnectionStats::default());
    network.silence();
    // What it does not read holds the end of the old link up.
    let mut unread = Vec::new();
    for bytes in [2 * LINK_BYTES, 1] {
        unread.push(tokio::spawn(far.single(ECHO, vec![0; bytes]).into_future()));
        settle().await;
    }
    let new = network.builder(left.name()).peers([right.name()]).build().expect("it starts");
    for _ in 0..100 {
        grown(&far, &mut last);
        tokio::task::yield_now().await;
    }
    within(only(&new).ready()).await.expect("not shut down");
    grown(&far, &mut last);
    assert_eq!(last.reconnects, 1);
    for call in unread {
        assert!(within(call).await.expect("no panic").is_err());
    }
}

/// Seen from another thread, at any moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_do_not_go_back_at_any_moment() {
    let network = Network::default();
    let (left, right) = network.pair(quick, |right| quick(echo(right))).await;
    let stop = Arc::new(AtomicBool::new(false));
    let watch = [only(&left), only(&right)].map(|connection| {
        let stop = Arc::clone(&stop);
        std::thread::spawn(move || {
            let mut last = ConnectionStats::default();
            while !stop.load(Ordering::Relaxed) {
                grown(&connection, &mut last);
            }
            grown(&connection, &mut last);
            last.reconnects
        })
    });
    for reconnects in 1..=50 {
        let answer = soon(only(&left).single(ECHO, vec![0; 10_000]).into_future()).await;
        assert_eq!(answer.map(|answer| answer.len()), Ok(10_000));
        network.cut();
        let back = async {
            while only(&left).stats().reconnects < reconnects {
                sleep(Duration::from_millis(1)).await;
            }
        };
        soon(back).await;
    }
    stop.store(true, Ordering::Relaxed);
    for watched in watch {
        assert!(watched.join().expect("no count went back") >= 49);
    }
}

#[tokio::test(start_paused = true)]
async fn changes_begin_with_the_state_now_and_show_each_edge() {
    let network = Network::default();
    let (dialling, dialled) = names();
    let left = network.builder(&dialling).peers([&*dialled]).build().expect("it starts");
    let mut changes = only(&left).changes();
    assert_eq!(seen(&mut changes), [State::Disconnected(None)], "before the first attempt");
    settle().await;
    let away = LinkError::Unreachable { peer: (&*dialled).into(), problem: "connection refused".into() };
    assert_eq!(seen(&mut changes), [State::Disconnected(Some(away))]);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(seen(&mut changes), [], "the same again is no change");

    let right = echo(network.builder(&dialled).peers([&*dialling])).build().expect("it starts");
    let mut far = only(&right).changes();
    assert_eq!(seen(&mut far), [State::Disconnected(None)]);
    network.add(&right);
    within(only(&left).ready()).await.expect("not shut down");
    settle().await;
    assert_eq!((seen(&mut changes), seen(&mut far)), (vec![State::Connected], vec![State::Connected]));
    network.cut();
    assert_eq!(within(changes.next()).await, Some(cut_off()));
    assert_eq!(within(changes.next()).await, Some(State::Connected));
    settle().await;
    within(right.shutdown()).await;
    assert_eq!(within(far.collect::<Vec<_>>()).await.last(), Some(&State::Closed), "and with it they end");
    drop(left);
    assert_eq!(seen(&mut changes).last(), Some(&State::Closed));
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_of_changes_sees_the_latest_and_a_new_link_as_a_change() {
    let network = Network::default();
    let (left, _right) = mesh(&network).await;
    let connection = only(&left);
    let mut changes = connection.changes();
    assert_eq!(seen(&mut changes), [State::Connected]);
    for _ in 0..3 {
        sleep(Duration::from_secs(5)).await;
        network.cut();
        settle().await;
        within(connection.ready()).await.expect("not shut down");
    }
    assert_eq!(seen(&mut changes), [State::Connected], "it was lost and found");
    assert_eq!(timeout(Duration::from_secs(60), changes.next()).await.ok(), None);
}

#[tokio::test(start_paused = true)]
async fn a_draining_peer_shows_and_so_does_its_end() {
    let network = Network::default();
    let (left, right) = mesh(&network).await;
    let connection: Connection = only(&left);
    let call = tokio::spawn(connection.single(HANG, "").into_future());
    settle().await;
    let mut changes = connection.changes();
    assert_eq!(seen(&mut changes), [State::Connected]);
    let node = right.clone();
    let shutdown = tokio::spawn(async move { node.shutdown().await });
    settle().await;
    assert_eq!(seen(&mut changes), [State::Draining]);
    assert!(timeout(Duration::from_secs(5), connection.ready()).await.is_err(), "it cannot be used");
    within(shutdown).await.expect("no panic");
    assert!(within(call).await.expect("no panic").is_err());
    settle().await;
    assert!(matches!(seen(&mut changes)[..], [State::Disconnected(Some(_))]));
}

#[tokio::test(start_paused = true)]
async fn what_a_connection_is_can_be_printed() {
    let network = Network::default();
    let (left, right) = mesh(&network).await;
    let printed = format!("{:?}", only(&left).subroute("disk1"));
    let wanted = format!("{:?}, remote: {:?}, subroute: Some(\"disk1\"), state: Connected", left.name(), right.name());
    assert!(printed.contains(&wanted), "{printed}");
    assert_eq!(only(&left).single(ECHO, "x").await, Ok(Bytes::from("x")));
}

//! Links that are lost again and again while both nodes call each other. Under virtual time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use grid::{CallError, Connection, Manager, ManagerBuilder, State};
use grid_tests::memory::{LINK_BYTES, Network, settle, within};
use grid_tests::mesh::{only, quick};
use grid_tests::probe::{ECHO, HANG, Probe, SLEEP, echo, sleep_for};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

const RECONNECTIONS: usize = 500;

fn millis(range: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(fastrand::u64(range))
}

/// How calls ended.
#[derive(Debug, Default)]
struct Ends {
    answered: usize,
    late: usize,
    cut_off: usize,
}

/// Calls one after the other, of all kinds, until it is told to stop.
async fn keep_calling(connection: Connection, stop: Arc<AtomicBool>) -> Ends {
    let mut ends = Ends::default();
    while !stop.load(Ordering::Relaxed) {
        let outcome = match fastrand::u8(0..4) {
            0 => connection.single(ECHO, "x").await,
            1 => connection.single(ECHO, vec![7; fastrand::usize(0..100_000)]).await,
            2 => connection.single(SLEEP, sleep_for(millis(0..20))).timeout(millis(1..20)).await,
            _ => connection.single(HANG, "").timeout(millis(1..20)).await,
        };
        match outcome {
            Ok(_) => ends.answered += 1,
            Err(CallError::DeadlineExceeded) => ends.late += 1,
            Err(CallError::Disconnected(_)) => ends.cut_off += 1,
            Err(other) => panic!("no call ends so: {other}"),
        }
        sleep(millis(1..10)).await;
    }
    ends
}

/// Counts the links that `changes` shows, until the connection is closed.
fn count_links(connection: &Connection) -> JoinHandle<usize> {
    let changes = connection.changes();
    tokio::spawn(changes.filter(|state| std::future::ready(*state == State::Connected)).count())
}

/// Waits in `ready` again and again. Ends when the node is shut down, which nothing else may report as an error.
fn keep_waiting(connection: &Connection) -> JoinHandle<usize> {
    let connection = connection.clone();
    tokio::spawn(async move {
        let mut times = 0;
        while connection.ready().await.is_ok() {
            times += 1;
            sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(connection.state(), State::Closed);
        times
    })
}

fn node(probe: &Probe) -> impl FnOnce(ManagerBuilder) -> ManagerBuilder + use<> {
    let probe = probe.clone();
    move |builder| probe.sleep(probe.hang(echo(quick(builder))))
}

async fn both_ready(nodes: [&Manager; 2]) {
    for node in nodes {
        within(only(node).ready()).await.expect("not shut down");
    }
}

#[tokio::test(start_paused = true)]
async fn five_hundred_reconnections_under_load_lose_nothing() {
    fastrand::seed(500);
    let (network, probe) = (Network::default(), Probe::default());
    let (left, right) = network.pair(node(&probe), node(&probe)).await;
    let ends = [only(&left), only(&right)];
    let links = ends.each_ref().map(count_links);
    let ready = ends.each_ref().map(keep_waiting);
    let stop = Arc::default();
    let callers = (0..16).map(|caller| tokio::spawn(keep_calling(ends[caller % 2].clone(), Arc::clone(&stop))));
    let callers: Vec<_> = callers.collect();
    for _ in 0..RECONNECTIONS {
        both_ready([&left, &right]).await;
        sleep(millis(1..15)).await;
        network.cut();
        settle().await;
    }
    both_ready([&left, &right]).await;
    stop.store(true, Ordering::Relaxed);
    let mut total = Ends::default();
    for caller in callers {
        let ends = within(caller).await.expect("no panic");
        total.answered += ends.answered;
        total.late += ends.late;
        total.cut_off += ends.cut_off;
    }
    let Ends { answered, late, cut_off } = total;
    assert!(answered.min(late).min(cut_off) > RECONNECTIONS, "all kinds of load: {total:?}");
    settle().await;
    for end in &ends {
        let stats = end.stats();
        assert_eq!((stats.calls_out, stats.calls_in), (0, 0), "{}", end.local());
        assert_eq!(stats.reconnects, u64::try_from(RECONNECTIONS).expect("it fits"));
    }
    let visits = probe.visits();
    assert_eq!(visits.started, visits.finished + visits.dropped);
    for node in [left, right] {
        within(node.shutdown()).await;
    }
    for links in links {
        assert_eq!(links.await.expect("no panic"), RECONNECTIONS + 1, "each link was seen");
    }
    for ready in ready {
        assert!(ready.await.expect("no panic") > RECONNECTIONS);
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_outbox_does_not_outlive_its_link() {
    let (network, probe) = (Network::default(), Probe::default());
    let small = |builder: ManagerBuilder| quick(builder).limits(|limits| limits.outbox_bytes_max = 4 << 10);
    let (left, right) = network.pair(small, |right| small(node(&probe)(right))).await;
    for _ in 0..20 {
        both_ready([&left, &right]).await;
        network.freeze();
        let connection = only(&left);
        let call = || tokio::spawn(connection.single(ECHO, vec![0; LINK_BYTES]).into_future());
        let calls: Vec<_> = (0..50).map(|_| call()).collect();
        settle().await;
        assert_eq!(connection.stats().calls_out, 50);
        network.cut();
        network.thaw();
        for call in calls {
            let lost = Err(CallError::Disconnected(right.name().into()));
            assert_eq!(within(call).await.expect("no panic"), lost);
        }
    }
    both_ready([&left, &right]).await;
    assert_eq!(only(&left).single(ECHO, "x").await.as_deref(), Ok(&b"x"[..]));
    assert_eq!(only(&left).stats().calls_out, 0);
}

/// Attempts begin one to two seconds apart, for ever, and each pause is drawn anew.
#[tokio::test(start_paused = true)]
async fn a_peer_that_is_away_is_dialled_every_one_to_two_seconds_for_ever() {
    let network = Network::default();
    let (left, right) = network.pair(echo, echo).await;
    sleep(Duration::from_secs(60)).await;
    network.set_down(true);
    network.cut();
    let lost = Instant::now();
    sleep(Duration::from_secs(3600)).await;
    let dials: Vec<_> = network.dials().into_iter().filter(|at| *at >= lost).collect();
    assert_eq!(dials.first(), Some(&lost), "at once after a link that held");
    let pauses: Vec<_> = dials.windows(2).map(|dials| dials[1] - dials[0]).collect();
    let (shortest, longest) = (pauses.iter().min().expect("many"), pauses.iter().max().expect("many"));
    assert!(*shortest >= Duration::from_secs(1) && *longest <= Duration::from_millis(2001), "{shortest:?} {longest:?}");
    assert!(*longest - *shortest > Duration::from_millis(800), "drawn evenly: {shortest:?} {longest:?}");
    network.set_down(false);
    both_ready([&left, &right]).await;
}

/// On many threads the task that dials sees the end of its link before the end of its node.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_is_dropped_does_not_dial_again() {
    let network = Network::default();
    let node = network.builder("http://node:1").allow_guests([]).build().expect("it starts");
    network.add(&node);
    for dialled in 1..=200 {
        let guest = grid::connect("http://node:1").connector(network.clone()).await.expect("it connects");
        assert_eq!(network.dials().len(), dialled);
        drop(guest);
    }
    assert_eq!(network.dials().len(), 200);
}

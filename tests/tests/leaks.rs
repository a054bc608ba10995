//! After many calls, however they ended, memory is where it was. Under virtual time, and one test at a time: what is
//! allocated is counted for the whole process.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};
use grid::{CallError, Connection, Context, Manager, ManagerBuilder, RemoteError};
use grid_tests::allocator::{Counting, Live};
use grid_tests::memory::{LINK_BYTES, Network, settle, within};
use grid_tests::mesh::{only, quick};
use grid_tests::probe::{ECHO, HANG, Probe, SLEEP, echo, sleep_for};
use tokio::time::{sleep, timeout};

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

const FAIL: u8 = 20;
const PANIC: u8 = 21;
/// How many calls are made at the same time.
const AT_ONCE: usize = 50;

#[grid::service(id = 3)]
trait Disk {
    async fn read(&self, cx: &Context, path: &str, bytes: u32) -> Result<Vec<u8>, String>;
}

struct Zeros;

impl Disk for Zeros {
    async fn read(&self, _cx: &Context, path: &str, bytes: u32) -> Result<Vec<u8>, String> {
        match path {
            "" => Err("no path".into()),
            _ => Ok(vec![0; bytes as usize]),
        }
    }
}

async fn panic(_: Context, _: Bytes) -> Result<Bytes, RemoteError> {
    std::panic::resume_unwind(Box::new("as planned"))
}

fn serve(builder: ManagerBuilder) -> ManagerBuilder {
    let probe = Probe::default();
    probe
        .sleep(probe.hang(echo(quick(builder))))
        .single(FAIL, |_, _| async { Err::<Bytes, _>(RemoteError::new("boom")) })
        .single(PANIC, panic)
        .serve_at("disk1", DiskServer::new(Zeros))
}

/// One call of each kind, to its end.
async fn one_of_each(connection: &Connection) {
    let millisecond = Duration::from_millis(1);
    let plain = connection.single(ECHO, "x").metadata("tenant", "blue").await;
    assert_eq!(plain, Ok(Bytes::from("x")));
    let disk = DiskClient::new(connection.subroute("disk1"));
    assert_eq!(disk.read("path", 1_000).await.map(|bytes| bytes.len()), Ok(1_000));
    assert!(matches!(disk.read("", 1_000).await, Err(CallError::Remote(_))));
    assert!(matches!(connection.single(FAIL, "x").await, Err(CallError::Remote(_))));
    assert!(matches!(connection.single(PANIC, "x").await, Err(CallError::Refused(_))));
    assert!(matches!(connection.single(99, "x").await, Err(CallError::Refused(_))));
    assert_eq!(connection.single(HANG, "x").timeout(millisecond).await, Err(CallError::DeadlineExceeded));
    let late = connection.single(SLEEP, sleep_for(5 * millisecond)).timeout(millisecond).await;
    assert_eq!(late, Err(CallError::DeadlineExceeded));
    assert!(timeout(millisecond, connection.single(HANG, "x").into_future()).await.is_err());
    assert!(connection.single(ECHO, "x").into_future().now_or_never().is_none(), "dropped with its request queued");
}
const KINDS: usize = 10;

async fn many(connection: &Connection, calls: usize) {
    let rounds = stream::iter(0..calls / KINDS);
    rounds.for_each_concurrent(AT_ONCE, |_| one_of_each(connection)).await;
    // With each ping a link gives back what memory is not in use.
    sleep(Duration::from_secs(11)).await;
}

/// Links that are lost with calls at each point of their way.
async fn lose_links(network: &Network, nodes: [&Manager; 2], times: usize) {
    for _ in 0..times {
        for node in nodes {
            within(only(node).ready()).await.expect("not shut down");
        }
        let connection = only(nodes[0]);
        let mut calls: Vec<_> =
            (0..5).map(|_| tokio::spawn(connection.single(HANG, vec![0; 500]).into_future())).collect();
        settle().await;
        network.freeze();
        let large = |_| tokio::spawn(connection.single(ECHO, vec![0; LINK_BYTES / 2]).into_future());
        calls.extend((0..10).map(large));
        settle().await;
        calls[0].abort();
        calls[7].abort();
        network.cut();
        network.thaw();
        for call in calls {
            let ended = within(call).await;
            assert!(ended.is_err() || matches!(ended, Ok(Err(CallError::Disconnected(_)))), "{ended:?}");
        }
    }
    for node in nodes {
        within(only(node).ready()).await.expect("not shut down");
    }
    sleep(Duration::from_secs(1)).await;
}

async fn come_and_go(network: &Network, node: &Manager, guests: usize) {
    for _ in 0..guests {
        let guest = grid::connect(node.name()).connector(network.clone());
        let connection = within(guest.into_future()).await.expect("it is let in");
        assert_eq!(connection.single(ECHO, "x").await, Ok(Bytes::from("x")));
        drop(connection);
        settle().await;
    }
    sleep(Duration::from_secs(60)).await;
    network.forget_dials();
}

/// Nothing has grown. Blocks of the runtime, such as its queues, come and go by a few; the memory of frames that a thread
/// keeps for the next ones comes to hold the larger ones of them.
fn assert_where_it_was(before: Live, what: &str) {
    let after = ALLOCATOR.live();
    let (bytes, blocks) = (after.bytes.saturating_sub(before.bytes), after.blocks.saturating_sub(before.blocks));
    assert!(bytes < 16 << 10 && blocks < 20, "{before:?}, and after {what} {after:?}");
}

#[tokio::test(start_paused = true)]
async fn calls_of_all_kinds_lost_links_and_guests_leave_nothing() {
    let network = Network::default();
    let small = |left: ManagerBuilder| serve(left).limits(|limits| limits.outbox_bytes_max = LINK_BYTES);
    // Names of guests that left are kept until there are as many as there may be guests.
    let few = |right: ManagerBuilder| serve(right).allow_guests([ECHO.into()]).limits(|limits| limits.guests_max = 16);
    let (left, right) = network.pair(small, few).await;

    many(&only(&left), 5_000).await;
    let before = ALLOCATOR.live();
    many(&only(&left), 100_000).await;
    assert_where_it_was(before, "a hundred thousand calls");
    assert_eq!((only(&left).stats().calls_out, only(&right).stats().calls_in), (0, 0));

    lose_links(&network, [&left, &right], 20).await;
    network.forget_dials();
    let before = ALLOCATOR.live();
    lose_links(&network, [&left, &right], 200).await;
    network.forget_dials();
    assert_where_it_was(before, "two hundred lost links");

    come_and_go(&network, &right, 100).await;
    let before = ALLOCATOR.live();
    come_and_go(&network, &right, 1_000).await;
    assert_where_it_was(before, "a thousand guests");
}

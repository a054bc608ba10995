//! Futures of a stream that are dropped before their end: they have done nothing.

use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::{FutureExt, SinkExt, poll};
use grid::{CallError, Inbound, Manager, ManagerBuilder, Outbound, RemoteError, SendError, Windows};
use grid_tests::memory::{LINK_BYTES, Network, settle, within};
use grid_tests::mesh::{only, pair, soon};
use grid_tests::streams::{Read, assert_idle, item, items, large_item, read_all};

use crate::handlers::{COLLECT, ECHO, FLOOD, Tap, Taps};

const OUTBOX: usize = 4 << 10;

struct Scene {
    network: Network,
    left: Manager,
    right: Manager,
    taps: Taps,
}

type Halves = (Outbound<Bytes>, Inbound<Bytes, RemoteError>);

impl Scene {
    async fn new(window: u32) -> Self {
        let (network, taps) = (Network::default(), Taps::default());
        let serve =
            |builder: ManagerBuilder| taps.serve(builder, window).limits(|limits| limits.outbox_bytes_max = OUTBOX);
        let (left, right) = network.pair(serve, serve).await;
        Self { network, left, right, taps }
    }

    async fn opened(&self, id: u8, name: &'static str) -> Halves {
        within(only(&self.left).stream(id, 8, name).into_future()).await.expect("it opens")
    }

    /// Fills the link and both lanes of the outbox of the left node, from which nothing goes out until the network is
    /// thawed.
    async fn fill(&self) -> Vec<Halves> {
        let mut filling = Vec::new();
        for _ in 0..3 {
            filling.push(self.opened(COLLECT, "fills").await);
        }
        self.network.freeze();
        for ((outbound, _), bytes) in filling.iter().zip([LINK_BYTES, OUTBOX * 2, OUTBOX / 4]) {
            outbound.send(large_item(0, bytes)).await.expect("an empty lane takes one item of any size");
            settle().await;
        }
        assert!(only(&self.left).stats().queued_bytes > 0, "the link takes no more");
        filling
    }
}

/// Polls a send this often, and drops it.
async fn give_up(outbound: &Outbound<Bytes>, item: Bytes, polls: usize) {
    let mut send = pin!(outbound.send(item));
    for _ in 0..polls {
        assert!(poll!(send.as_mut()).is_pending());
    }
}

/// The next sends until one waits, which is dropped.
fn send_ready(outbound: &Outbound<Bytes>, next: &mut usize) -> usize {
    let before = *next;
    while let Some(sent) = outbound.send(item(*next)).now_or_never() {
        assert_eq!(sent, Ok(()));
        *next += 1;
    }
    *next - before
}

async fn assert_got(tap: &Arc<Tap>, count: usize) {
    tap.until(count).await;
    settle().await;
    assert_eq!(tap.read(), items(0..count), "what was given up was not sent");
}

#[tokio::test(start_paused = true)]
async fn a_send_that_is_dropped_while_it_waits_for_a_credit_sends_nothing_and_takes_none() {
    const WINDOW: usize = 8;
    let scene = Scene::new(8).await;
    let (outbound, inbound) = scene.opened(COLLECT, "tap").await;
    let (tap, mut next) = (scene.taps.tap("tap"), 0);
    for round in 0..50 {
        assert_eq!(send_ready(&outbound, &mut next), WINDOW, "round {round}: all credits are there, and no more");
        for polls in 1..5 {
            give_up(&outbound, item(9999), polls).await;
        }
        // Those that wait at the same time share no credit either.
        join_all((0..10).map(|_| give_up(&outbound, item(9999), 2))).await;
        // One that waits when the credits come, and is dropped before it is polled again.
        {
            let mut send = pin!(outbound.send(item(9999)));
            assert!(poll!(send.as_mut()).is_pending());
            tap.open(WINDOW);
            within(assert_got(&tap, next)).await;
        }
    }
    drop((outbound, inbound));
    settle().await;
    assert_idle([&scene.left, &scene.right]).await;
}

#[tokio::test(start_paused = true)]
async fn a_send_that_is_dropped_while_it_waits_for_room_sends_nothing_and_takes_no_credit() {
    const WINDOW: usize = 8;
    let scene = Scene::new(8).await;
    let (outbound, inbound) = scene.opened(COLLECT, "tap").await;
    let (tap, mut next) = (scene.taps.tap("tap"), 0);
    tap.open_wide();
    for _ in 0..10 {
        let filling = scene.fill().await;
        for polls in 1..5 {
            give_up(&outbound, item(9999), polls).await;
        }
        join_all((0..20).map(|_| give_up(&outbound, item(9999), 2))).await;
        assert_eq!(send_ready(&outbound, &mut next), 0, "there is no room");
        // One that waits when room and credits come.
        {
            let mut send = pin!(outbound.send(item(9999)));
            assert!(poll!(send.as_mut()).is_pending());
            scene.network.thaw();
            settle().await;
        }
        assert_eq!(send_ready(&outbound, &mut next), WINDOW, "no credit was lost");
        within(assert_got(&tap, next)).await;
        drop(filling);
        settle().await;
    }
    within(outbound.finish()).await.expect("it has not ended");
    let mut inbound = inbound;
    assert_eq!(within(read_all(&mut inbound)).await, Read { items: vec![item(next)], error: None });
    assert_eq!(only(&scene.left).stats().reconnects, 0);
    assert_idle([&scene.left, &scene.right]).await;
}

#[tokio::test(start_paused = true)]
async fn a_finish_that_is_dropped_while_it_waits_cancels_the_call() {
    let scene = Scene::new(8).await;
    let (outbound, mut inbound) = scene.opened(COLLECT, "tap").await;
    scene.taps.tap("tap").open_wide();
    outbound.send(item(0)).await.expect("it goes on");
    let filling = scene.fill().await;
    {
        let mut finish = pin!(outbound.finish());
        assert!(poll!(finish.as_mut()).is_pending(), "there is no room");
    }
    assert_eq!(within(read_all(&mut inbound)).await, Read::of(0, CallError::Cancelled));
    scene.network.thaw();
    scene.taps.probe.until(|visits| visits.dropped == 1).await;
    assert_eq!(scene.taps.tap("tap").read(), [item(0)], "and no end of input");
    drop(filling);
    settle().await;
    assert_idle([&scene.left, &scene.right]).await;
    assert_eq!(scene.taps.probe.visits().finished, 0);
}

#[tokio::test(start_paused = true)]
async fn a_next_that_is_dropped_loses_nothing() {
    let scene = Scene::new(8).await;
    let (outbound, mut inbound) = scene.opened(ECHO, "").await;
    for number in 0..100 {
        assert!(poll!(pin!(inbound.next())).is_pending());
        outbound.send(item(number)).await.expect("it goes on");
        assert!(poll!(pin!(inbound.next())).is_pending(), "it is on its way");
        settle().await;
        assert_eq!(inbound.next().now_or_never(), Some(Some(Ok(item(number)))));
    }
    within(outbound.finish()).await.expect("it has not ended");
    assert_eq!(within(read_all(&mut inbound)).await, Read::of(0, None));
}

/// A sink that was given an item has it, whether or not its flush is waited for; dropped, it cancels.
#[tokio::test(start_paused = true)]
async fn a_flush_that_is_dropped_loses_nothing_and_a_sink_that_is_dropped_cancels() {
    let scene = Scene::new(2).await;
    let (mut outbound, mut inbound) = scene.opened(COLLECT, "tap").await;
    let tap = scene.taps.tap("tap");
    for number in 0..3 {
        outbound.feed(item(number)).await.expect("it takes one more than goes out");
    }
    for _ in 0..5 {
        assert!(poll!(pin!(SinkExt::<Bytes>::flush(&mut outbound))).is_pending());
    }
    tap.open(1);
    within(SinkExt::<Bytes>::flush(&mut outbound)).await.expect("it goes on");
    tap.open_wide();
    within(assert_got(&tap, 3)).await;
    for number in 3..5 {
        outbound.feed(item(number)).await.expect("it goes on");
    }
    drop(outbound);
    assert_eq!(within(read_all(&mut inbound)).await, Read::of(0, CallError::Cancelled));
    scene.taps.probe.until(|visits| visits.dropped == 1).await;
    assert_idle([&scene.left, &scene.right]).await;
}

/// A handler that sends without reading, and a call that is given up at each poll of its opening.
#[tokio::test(start_paused = true)]
async fn an_opening_that_is_dropped_at_any_point_leaves_nothing() {
    let scene = Scene::new(8).await;
    for full in [false, true] {
        for polls in 0..4 {
            let filling = if full { scene.fill().await } else { Vec::new() };
            {
                let mut call = pin!(only(&scene.left).stream(FLOOD, 8, item(100)).into_future());
                for _ in 0..polls {
                    assert!(poll!(call.as_mut()).is_pending());
                }
                if polls > 2 {
                    scene.network.thaw();
                    settle().await;
                }
            }
            scene.network.thaw();
            drop(filling);
            settle().await;
            assert_idle([&scene.left, &scene.right]).await;
            let visits = scene.taps.probe.visits();
            assert_eq!(visits.started, visits.dropped);
        }
    }
    assert_eq!(only(&scene.left).stats().reconnects, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_tasks_send_through_one_reference() {
    const TASKS: usize = 8;
    const EACH: usize = 300;
    for window in [1, 4, 64] {
        let taps = Taps::default();
        let (left, right) = pair(|left| left, |right| taps.serve(right, window)).await;
        let (outbound, mut inbound) = soon(only(&left).stream(ECHO, window, "").into_future()).await.expect("it opens");
        let outbound = Arc::new(outbound);
        let tasks = (0..TASKS).map(|task| {
            let outbound = Arc::clone(&outbound);
            tokio::spawn(async move {
                for number in 0..EACH {
                    outbound.send(item(task * EACH + number)).await.expect("it goes on");
                    // Some are given up on the way.
                    drop(outbound.send(item(task * EACH + number + 1_000_000)));
                }
            })
        });
        let tasks = join_all(tasks);
        let finishing = async {
            for task in tasks.await {
                task.expect("no panic");
            }
            let outbound = Arc::try_unwrap(outbound).expect("the tasks have ended");
            outbound.finish().await.expect("it has not ended");
        };
        let ((), read) = soon(async { tokio::join!(finishing, read_all(&mut inbound)) }).await;
        assert_eq!(read.error, None);
        let mut sorted = read.items.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, items(0..TASKS * EACH), "each arrives once");
        for task in 0..TASKS {
            let all = items(task * EACH..(task + 1) * EACH);
            let own: Vec<_> = read.items.iter().filter(|item| all.contains(item)).cloned().collect();
            assert_eq!(own, all, "those of one task in its order");
        }
        assert_idle([&left, &right]).await;
    }
}

/// Nothing is sent on a stream without items, and nothing is cancelled by dropping what cannot send.
#[tokio::test(start_paused = true)]
async fn a_stream_of_responses_has_nothing_to_send_and_nothing_to_cancel() {
    let taps = Taps::default();
    let serve = |builder| taps.serve(builder, Windows::responses(4));
    let (left, right) = Network::default().pair(|left| left, serve).await;
    let call = only(&left).stream(FLOOD, Windows::responses(4), item(100));
    let (outbound, mut inbound) = within(call.into_future()).await.expect("it opens");
    assert_eq!(outbound.send(item(0)).await, Err(SendError::Ended));
    drop(outbound);
    for number in 0..20 {
        assert_eq!(within(inbound.next()).await, Some(Ok(large_item(number, 100))));
    }
    drop(inbound);
    taps.probe.until(|visits| visits.finished + visits.dropped == 1).await;
    settle().await;
    assert_idle([&left, &right]).await;
}

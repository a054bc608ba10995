//! What could bring two nodes to wait for each other for ever, and does not.

use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{join_all, try_join_all};
use grid::{Context, Manager, ManagerBuilder, RemoteError};
use grid_tests::memory::{Network, settle, within};
use grid_tests::mesh::{only, pair, soon};
use grid_tests::probe::{ECHO, echo};
use grid_tests::raw::{Frame, LengthForm, RawPeer, SIDES, Setup, Side, merge, opcode};
use tokio::runtime::{Builder, Handle};

const RELAY: u8 = 20;
const BLOCK: u8 = 70;
const DEPTH: u8 = 10;

/// Calls the caller back, one level less deep, until level 0; then goes back up, adding one level each.
fn relay(builder: ManagerBuilder) -> ManagerBuilder {
    builder.single(RELAY, |cx: Context, payload: Bytes| async move {
        let level = payload[0];
        if level == 0 {
            return Ok(payload);
        }
        let below = cx.connection().single(RELAY, [level - 1]).await?;
        Ok::<_, RemoteError>(Bytes::from(vec![below[0] + 1]))
    })
}

/// So many calls in and out at a time, and few bytes.
fn limited(calls_in_max: usize, calls_out_max: usize) -> impl Fn(ManagerBuilder) -> ManagerBuilder {
    move |builder| {
        relay(echo(builder)).limits(|limits| {
            limits.calls_in_max = calls_in_max;
            limits.calls_out_max = calls_out_max;
            limits.outbox_bytes_max = 1 << 10;
        })
    }
}

async fn flood(nodes: [&Manager; 2], calls: usize, bytes: usize) {
    let calls = (0..calls).map(|number| {
        let payload = vec![u8::try_from(number % 251).expect("less than 251"); bytes];
        let connection = only(nodes[number % 2]);
        async move {
            let answer = connection.single(ECHO, &payload).await;
            assert_eq!(answer.as_deref(), Ok(&*payload));
        }
    });
    join_all(calls).await;
}

#[tokio::test(start_paused = true)]
async fn both_sides_flood_each_other_with_large_calls_over_narrow_links() {
    let network = Network::default();
    let small = |builder: ManagerBuilder| echo(builder).limits(|limits| limits.outbox_bytes_max = 1 << 10);
    let (left, right) = network.pair(small, small).await;
    within(flood([&left, &right], 200, 100_000)).await;
    settle().await;
    for node in [&left, &right] {
        let stats = only(node).stats();
        assert_eq!((stats.calls_out, stats.calls_in, stats.reconnects), (0, 0, 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_sides_flood_each_other_over_sockets() {
    let (left, right) = pair(echo, echo).await;
    soon(flood([&left, &right], 4_000, 64)).await;
    soon(flood([&left, &right], 400, 50_000)).await;
    for node in [&left, &right] {
        assert_eq!(only(node).stats().reconnects, 0);
    }
}

/// At its deepest, each chain has six calls to the right and five to the left: they take up all the places there are.
#[tokio::test(start_paused = true)]
async fn calls_that_depend_on_calls_ten_deep_finish_at_the_limits_of_both_sides() {
    let chains = 8;
    let (there, back) = (chains * 6, chains * 5);
    let network = Network::default();
    let (left, right) = network.pair(limited(back, there), limited(there, back)).await;
    let connection = only(&left);
    let chains = |number: usize| (0..number).map(|_| connection.single(RELAY, [DEPTH]).into_future());
    for _ in 0..20 {
        let answers = within(try_join_all(chains(8))).await;
        assert_eq!(answers, Ok(vec![Bytes::from(vec![DEPTH]); 8]));
    }
    settle().await;
    assert_eq!((only(&right).stats().calls_in, only(&right).stats().calls_out), (0, 0));
    let answers = within(join_all(chains(9))).await;
    let refused = answers.iter().filter(|answer| answer.is_err()).count();
    assert!((1..9).contains(&refused), "there is no place for one chain more, and {refused} found none");
}

/// The same from both sides at once, over sockets, with places enough for both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_depend_on_calls_finish_from_both_sides_at_once() {
    let chains = 50;
    let places = chains * (usize::from(DEPTH) + 2) * 2;
    let (left, right) = pair(limited(places, places), limited(places, places)).await;
    let calls = [&left, &right].map(|node| {
        let connection = only(node);
        try_join_all((0..chains).map(move |_| connection.single(RELAY, [DEPTH]).into_future()))
    });
    for answers in soon(join_all(calls)).await {
        assert_eq!(answers, Ok(vec![Bytes::from(vec![DEPTH]); chains]));
    }
}

/// Whether a thread that is blocked delays other calls is for the scheduler; that none is lost is for grid.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_blocks_its_thread_loses_nothing() {
    let (unblock, blocked) = mpsc::channel::<()>();
    let blocked = Arc::new(Mutex::new(blocked));
    let (entered, has_entered) = tokio::sync::oneshot::channel();
    let entered = Mutex::new(Some(entered));
    let blocking = move |builder: ManagerBuilder| {
        builder.single(BLOCK, move |_, payload: Bytes| {
            let blocked = Arc::clone(&blocked);
            let entered = entered.lock().unwrap().take();
            async move {
                entered.expect("it is called once").send(()).expect("the test waits");
                blocked.lock().unwrap().recv_timeout(Duration::from_secs(30)).expect("it is unblocked");
                Ok(payload)
            }
        })
    };
    let (left, _right) = pair(|left| left, |right| blocking(echo(right))).await;
    let connection = only(&left);
    let slow = tokio::spawn(connection.single(BLOCK, "slow").into_future());
    soon(has_entered).await.expect("it is entered");
    let calls: Vec<_> = (0..500).map(|_| tokio::spawn(connection.single(ECHO, "x").into_future())).collect();
    assert!(!slow.is_finished());
    unblock.send(()).expect("the handler waits");
    for call in calls {
        assert_eq!(soon(call).await.expect("no panic"), Ok(Bytes::from("x")));
    }
    assert_eq!(soon(slow).await.expect("no panic"), Ok(Bytes::from("slow")));
    assert_eq!(connection.stats().reconnects, 0);
}

const UNKNOWN: u32 = 71;

fn message(peer: &RawPeer, frames: &[Frame]) -> Vec<u8> {
    let elements: Vec<_> = frames.iter().map(Frame::encode).collect();
    let merged = merge(u32::try_from(frames.len()).expect("not that many"), &elements);
    peer.ws(opcode::BINARY, merged).encode(LengthForm::Shortest)
}

/// Bytes of a peer that make the driver let the tasks of its thread go first, of which one blocks the thread then. The last
/// request is refused, by the driver itself.
fn blocking(peer: &RawPeer) -> [(Vec<u8>, Vec<u64>); 2] {
    let block = |mux| Frame::request(mux, BLOCK.into(), "x");
    let unknown = || Frame::request(1, UNKNOWN, "");
    // For the answers of the others: something is queued.
    let gathering = message(peer, &[unknown(), block(2), block(3)]);
    // For it has read for long. These late answers take more than the 100 µs that it may.
    let late = vec![Frame::response(7, ""); 1_000];
    let reading = [late.clone(), late, vec![block(2)], vec![unknown()]].map(|frames| message(peer, &frames)).concat();
    [(gathering, vec![2, 3]), (reading, vec![2])]
}

/// While some of its threads are blocked, the others can go on with a link. The peer has a runtime of its own: one of which
/// no thread is left to look at the clock would let it wait for ever.
#[test]
fn handlers_that_block_their_threads_do_not_hold_up_their_link() {
    let node = Builder::new_multi_thread().worker_threads(4).enable_all().build().expect("it starts");
    let peer = Builder::new_current_thread().enable_all().build().expect("it starts");
    for (side, case) in SIDES.into_iter().flat_map(|side| [(side, 0), (side, 1)]) {
        peer.block_on(block_threads(node.handle(), side, case));
    }
}

async fn block_threads(node: &Handle, side: Side, case: usize) {
    // Dropped when the test fails, it lets the handlers go as well.
    let (unblock, blocked) = mpsc::channel::<()>();
    let blocked = Arc::new(Mutex::new(blocked));
    let serve = |builder: ManagerBuilder| {
        builder.single(BLOCK, move |_, payload: Bytes| {
            let blocked = Arc::clone(&blocked);
            async move {
                blocked.lock().unwrap().recv().map_err(|_| RemoteError::new("the test failed"))?;
                Ok(payload)
            }
        })
    };
    let rig = node.spawn(Setup::new(side).start(serve)).await.expect("no panic");
    let mut peer = rig.link().await;
    let (bytes, blocked) = blocking(&peer)[case].clone();
    peer.send_bytes(&bytes).await;
    assert_eq!(peer.recv().await.mux, 1, "the refusal, though the others are blocked");
    for mux in 4..200 {
        peer.send(&Frame::request(mux, ECHO.into(), "x")).await;
        assert_eq!(peer.recv().await.mux, mux);
    }
    let mut unblocked = Vec::new();
    for _ in &blocked {
        unblock.send(()).expect("the handlers wait");
        unblocked.push(peer.recv().await.mux);
    }
    unblocked.sort_unstable();
    assert_eq!(unblocked, blocked);
    rig.finish().await;
}

/// It may run in the task of the link as long as it is quick. Under virtual time, which it alone moves on.
#[tokio::test(start_paused = true)]
async fn a_handler_that_has_blocked_a_link_once_always_gets_a_task() {
    const TASK: u8 = 72;
    let task = |builder: ManagerBuilder| {
        builder.single(TASK, |_, millis: Bytes| async move {
            if let Some(millis) = millis.first() {
                // Passes in the first poll.
                tokio::time::advance(Duration::from_millis((*millis).into())).await;
            }
            Ok::<_, RemoteError>(Bytes::from(tokio::task::id().to_string()))
        })
    };
    let (left, _right) = Network::default().pair(|left| left, task).await;
    let connection = &only(&left);
    let call = |millis: &'static [u8]| async move { connection.single(TASK, millis).await.expect("it answers") };
    for _ in 0..100 {
        call(&[]).await;
    }
    let driver = call(&[]).await;
    assert_eq!(call(&[]).await, driver, "it is quick");
    call(&[20]).await;
    for _ in 0..1_000 {
        assert_ne!(call(&[]).await, driver);
    }
}

/// As many callers as there are places: a place is free again when its caller has the answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_that_keep_within_the_limit_are_never_refused() {
    const PLACES: usize = 4;
    let (left, _right) = pair(|left| left, |right| echo(right).limits(|limits| limits.calls_in_max = PLACES)).await;
    let connection = only(&left);
    let callers = (0..PLACES).map(|_| {
        let connection = connection.clone();
        tokio::spawn(async move {
            for number in 0..2_500 {
                let answer = connection.single(ECHO, "x").await;
                assert_eq!(answer, Ok(Bytes::from("x")), "call {number}");
            }
        })
    });
    for caller in soon(join_all(callers)).await {
        caller.expect("no panic");
    }
}

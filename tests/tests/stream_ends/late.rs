//! Ends that somebody hears of late, or by another way than others.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{join_all, pending};
use grid::{CallError, ManagerBuilder, SendError};
use grid_tests::memory::{Network, settle, within};
use grid_tests::mesh::{only, pair, quick, soon};
use grid_tests::raw::{Frame, op};
use grid_tests::streams::{Read, frame, items, large_item, read_all, scripted};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::sleep;

const ACT: u8 = 20;

/// The handler has given its input to another task, and is dropped at its deadline. The caller has not looked yet, and
/// sends on, which breaks no rule.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_item_that_comes_when_the_deadline_has_passed_is_no_fault_of_the_caller() {
    let (saw, seen) = oneshot::channel();
    let once = Mutex::new(Some(saw));
    let serve = |builder: ManagerBuilder| {
        builder.stream(ACT, 64, move |_, _, mut inbound, _| {
            let saw = once.lock().unwrap().take().expect("it is called once");
            async move {
                let (reads, reading) = oneshot::channel();
                tokio::spawn(async move {
                    reads.send(()).expect("the handler waits");
                    saw.send(read_all(&mut inbound).await).expect("the test waits");
                });
                reading.await.expect("the reader says so");
                pending().await
            }
        })
    };
    let (left, _right) = pair(|left| left, serve).await;
    let call = only(&left).stream(ACT, 64, "").timeout(Duration::from_millis(50));
    let (outbound, mut inbound) = soon(call.into_future()).await.expect("it opens");
    // Whichever comes first: the opening may have been long on its way, and the time of the handler begins behind it.
    let ends = [CallError::DeadlineExceeded, CallError::Cancelled].map(|end| Ok(Read::of(0, end)));
    let seen = soon(seen).await;
    assert!(ends.contains(&seen), "{seen:?}");
    for item in items(0..10) {
        match soon(outbound.send(item)).await {
            Ok(()) => {}
            Err(error) => assert_eq!(error, SendError::Ended),
        }
    }
    // Whatever was said of the items has come before this.
    let refused = soon(only(&left).single(99_u8, "").into_future()).await;
    assert!(matches!(refused, Err(CallError::Refused(_))), "{refused:?}");
    let read = soon(read_all(&mut inbound)).await;
    assert_eq!(read, Read::of(0, CallError::DeadlineExceeded));
}

/// The outbox is closed before the streams of a link are: a sender hears of it first, and drops its half, which is no
/// cancellation.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_link_is_told_also_to_a_caller_whose_sender_was_told_first() {
    let network = Network::default();
    let sink = |builder: ManagerBuilder| {
        quick(builder).stream(ACT, 64, |_, _, mut inbound, _| async move {
            while inbound.next().await.is_some() {}
            pending().await
        })
    };
    let (left, right) = network.pair(quick, sink).await;
    for round in 0..200 {
        // Calls are told of the end of a link before `ready` is.
        soon(async {
            while only(&left).stats().reconnects < round {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let calls = (0..16).map(|_| only(&left).stream(ACT, 64, "").into_future());
        let sent = Arc::new(Semaphore::new(0));
        let readers: Vec<_> = soon(join_all(calls))
            .await
            .into_iter()
            .map(|opened| {
                let (outbound, mut inbound) = opened.expect("it opens");
                let sent = Arc::clone(&sent);
                tokio::spawn(async move {
                    while outbound.send(Bytes::from("x")).await.is_ok() {
                        sent.add_permits(1);
                    }
                    drop(outbound);
                });
                tokio::spawn(async move { read_all(&mut inbound).await })
            })
            .collect();
        drop(soon(sent.acquire_many(500)).await);
        network.cut();
        for reader in readers {
            let lost = Read::of(0, CallError::Disconnected(right.name().into()));
            assert_eq!(soon(reader).await.expect("no panic"), lost, "round {round}");
        }
    }
}

/// The handler waits for a credit when its deadline passes, and ends since its send does. The caller's pings are answered
/// by a node that does not know the call any more.
#[tokio::test(start_paused = true)]
async fn a_caller_that_looks_long_after_its_deadline_is_told_of_the_deadline() {
    let serve = |builder: ManagerBuilder| {
        builder.stream(ACT, 4, |_, _, _, outbound| async move {
            for item in items(0..100) {
                outbound.send(item).await?;
            }
            Ok(())
        })
    };
    let (left, right) = Network::default().pair(|left| left, serve).await;
    for late in [0, 1, 10, 20, 40] {
        let call = only(&left).stream(ACT, 4, "").timeout(Duration::from_secs(5));
        let (_outbound, mut inbound) = within(call.into_future()).await.expect("it opens");
        sleep(Duration::from_secs(5 + late)).await;
        settle().await;
        assert_eq!(only(&right).stats().calls_in, 0);
        let read = within(read_all(&mut inbound)).await;
        assert_eq!(read, Read::of(4, CallError::DeadlineExceeded), "{late} s after the deadline");
    }
}

/// The handler has ended, and large items of it still wait to be written. What is said of a call that is not known any more
/// comes behind them, or the caller would take them for lost.
#[tokio::test(start_paused = true)]
async fn what_is_said_of_a_stream_that_has_ended_comes_behind_its_items() {
    const COUNT: usize = 10;
    const MUX: u64 = 7;
    let serve = |builder: ManagerBuilder| {
        builder.stream(ACT, 16, |_, _, _, outbound| async move {
            for number in 0..COUNT {
                outbound.send(large_item(number, 250 << 10)).await?;
            }
            Ok(())
        })
    };
    let (node, mut peer) = scripted(None, serve).await;
    peer.send(&Frame { handler: ACT.into(), ..Frame::new(op::CONNECT_MUX, MUX) }).await;
    settle().await;
    while only(&node).stats().calls_in > 0 {
        settle().await;
    }
    for op in [op::MUX_CLIENT_MSG, op::PING] {
        peer.send(&frame(op, MUX, 1)).await;
    }
    settle().await;
    let (mut items, mut rest) = (0, Vec::new());
    while rest.last() != Some(&op::PONG) {
        let frame = within(peer.recv()).await;
        match frame.op {
            op::MUX_SERVER_MSG if !frame.payload.is_empty() => items += 1,
            op => rest.push(op),
        }
    }
    let end = [op::MUX_SERVER_MSG, op::DISCONNECT_CLIENT_MUX];
    let expected = [op::ACK_MUX].into_iter().chain(end).chain([op::DISCONNECT_CLIENT_MUX, op::PONG]);
    assert_eq!((items, rest), (COUNT, expected.collect()));
}

//! Streams and what happens beside them: a link that another thread ends, a deadline at the halves of a handler, memory that
//! becomes plenty.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use grid::{CallError, ManagerBuilder};
use grid_tests::memory::{Network, within};
use grid_tests::mesh::{self, only, soon};
use grid_tests::probe::Probe;
use tokio::sync::Semaphore;

const ACT: u8 = 20;

/// A link may be ended by another thread while its driver takes a merge apart: the rest of the merge is skipped then, and so
/// must be the frames behind it, which would seem out of sequence.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_ends_breaks_no_sequence() {
    for round in 0..300 {
        let network = Network::default();
        let flood = |builder: ManagerBuilder| {
            builder.stream(ACT, 64, |_, _, _, outbound| async move {
                while outbound.send(Bytes::from("x")).await.is_ok() {
                    if fastrand::u8(0..8) == 0 {
                        tokio::task::yield_now().await;
                    }
                }
                Ok(())
            })
        };
        let (left, _right) = network.pair(|left| left, flood).await;
        let calls = (0..16).map(|_| only(&left).stream(ACT, 64, "").into_future());
        let got = Arc::new(Semaphore::new(0));
        let readers: Vec<_> = soon(join_all(calls))
            .await
            .into_iter()
            .map(|opened| {
                let (outbound, mut inbound) = opened.expect("it opens");
                let got = Arc::clone(&got);
                tokio::spawn(async move {
                    let _kept = outbound;
                    loop {
                        match inbound.next().await {
                            Some(Ok(_)) => got.add_permits(1),
                            end => return end,
                        }
                    }
                })
            })
            .collect();
        drop(soon(got.acquire_many(fastrand::u32(300..600))).await);
        drop(left);
        for reader in readers {
            assert_eq!(soon(reader).await.expect("no panic"), Some(Err(CallError::Cancelled)), "round {round}");
        }
    }
}

/// Were the halves to end at their deadline by themselves, the handler would run on from there with an error.
#[tokio::test(start_paused = true)]
async fn a_handler_that_waits_at_its_halves_when_its_deadline_passes_is_dropped() {
    let probe = Probe::default();
    for sends in [false, true] {
        let inner = probe.clone();
        let serve = move |builder: ManagerBuilder| {
            builder.stream(ACT, 4, move |_, _, mut inbound, outbound| {
                let visit = inner.enter();
                async move {
                    if sends {
                        while outbound.send(Bytes::from("x")).await.is_ok() {}
                    } else {
                        drop(inbound.next().await);
                    }
                    visit.finish();
                    Ok(())
                }
            })
        };
        let (left, _right) = Network::default().pair(|left| left, serve).await;
        let call = only(&left).stream(ACT, 4, "").timeout(Duration::from_secs(1));
        let _halves = within(call.into_future()).await.expect("it opens");
        probe.until(|visits| visits.started == visits.finished + visits.dropped).await;
        assert_eq!(probe.visits().finished, 0, "it ran on although its time was over (sends: {sends})");
    }
}

/// What is granted and what is told must be the same, also if memory becomes plenty in between.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_opens_while_memory_becomes_plenty_gets_what_it_was_promised() {
    const DRAIN: u8 = 21;
    let serve = |builder: ManagerBuilder| {
        let builder = builder.limits(|limits| limits.unread_bytes_max = 64 << 10);
        builder
            .stream(DRAIN, 30, |_, _, mut inbound, _| async move {
                while inbound.next().await.is_some() {}
                Ok(())
            })
            .stream(ACT, 16, |_, _, mut inbound, _| async move {
                while inbound.next().await.is_some() {}
                Ok(())
            })
    };
    let (left, _right) = mesh::pair(|left| left, serve).await;
    let (outbound, _inbound) = soon(only(&left).stream(DRAIN, 30, "").into_future()).await.expect("it opens");
    let filling = tokio::spawn(async move { while outbound.send(Bytes::from(vec![7; 2 << 10])).await.is_ok() {} });
    let calls = (0..4).map(|_| {
        let connection = only(&left);
        tokio::spawn(async move {
            for _ in 0..2_500 {
                let (outbound, mut inbound) = connection.stream(ACT, 16, "").await.expect("it opens");
                for _ in 0..16 {
                    if outbound.send(Bytes::from("x")).await.is_err() {
                        break;
                    }
                }
                let _told_below = outbound.finish().await;
                assert_eq!(inbound.next().await, None);
            }
        })
    });
    for call in join_all(calls).await {
        call.expect("no panic");
    }
    filling.abort();
}

//! Streams of bytes, in all their shapes.

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt, stream};
use grid::{CallError, Manager, ManagerBuilder, RefusalReason, RemoteError, SendError, Windows};
use grid_tests::mesh::{only, pair, soon};

const ECHO: u8 = 20;
const COUNT: u8 = 21;
const SUM: u8 = 22;
const FAIL: u8 = 23;

fn serving(windows: Windows) -> impl FnOnce(ManagerBuilder) -> ManagerBuilder {
    move |builder| {
        builder
            .stream(ECHO, windows, |_, prefix: Bytes, mut inbound, outbound| async move {
                while let Some(item) = inbound.next().await {
                    outbound.send([&prefix[..], &item?].concat().into()).await?;
                }
                Ok(())
            })
            .stream(COUNT, Windows::responses(windows.outbound), |_, count: Bytes, _, outbound| async move {
                for number in 0..u32::from_be_bytes(count[..4].try_into().expect("four bytes")) {
                    outbound.send(Bytes::copy_from_slice(&number.to_be_bytes())).await?;
                }
                Ok(())
            })
            .stream(SUM, Windows::requests(windows.inbound), |_, _, mut inbound, outbound| async move {
                let mut sum = 0_u64;
                while let Some(item) = inbound.next().await {
                    sum += u64::from(item?[0]);
                }
                Ok(outbound.send(Bytes::copy_from_slice(&sum.to_be_bytes())).await?)
            })
            .stream(FAIL, windows, |_, _, _, outbound| async move {
                for item in ["a", "b", "c"] {
                    outbound.send(item.into()).await?;
                }
                Err(RemoteError::new("failed after 3"))
            })
    }
}

async fn nodes(windows: Windows) -> (Manager, Manager) {
    pair(|builder| builder, serving(windows)).await
}

/// Nothing is left of any call.
async fn assert_idle(node: &Manager) {
    let connection = only(node);
    soon(async {
        loop {
            let stats = connection.stats();
            if (stats.calls_in, stats.calls_out, stats.unread_bytes, stats.queued_bytes) == (0, 0, 0, 0) {
                return;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn items_of_both_directions_arrive_in_order_and_then_the_end() {
    for window in [1, 2, 3, 16, 64] {
        let (left, right) = nodes(window.into()).await;
        let (outbound, mut inbound) = soon(only(&left).stream(ECHO, window, "P-").into_future()).await.unwrap();
        let sending = async {
            for number in 0..200_u32 {
                outbound.send(number.to_string().into()).await.unwrap();
            }
            outbound.finish().await.unwrap();
        };
        let reading = async {
            for number in 0..200_u32 {
                assert_eq!(inbound.next().await, Some(Ok(format!("P-{number}").into())));
            }
            assert_eq!(inbound.next().await, None);
            assert_eq!(inbound.next().await, None);
        };
        soon(async { tokio::join!(sending, reading) }).await;
        assert_idle(&left).await;
        assert_idle(&right).await;
    }
}

#[tokio::test]
async fn windows_that_differ_are_harmless() {
    for (ours, theirs) in [(1, 64), (64, 1), (3, 100)] {
        let (left, _right) = nodes(theirs.into()).await;
        let windows = Windows::responses(ours);
        let (_, inbound) = soon(only(&left).stream(COUNT, windows, 500_u32.to_be_bytes()).into_future()).await.unwrap();
        let items: Vec<_> = soon(inbound.collect()).await;
        assert_eq!(items.len(), 500);
        assert!(items.iter().all(Result::is_ok));
    }
}

#[tokio::test]
async fn a_sink_forwards_and_an_answer_comes_back() {
    let (left, _right) = nodes(4.into()).await;
    let opened = only(&left).stream(SUM, Windows::requests(4), "").await;
    let (outbound, mut inbound) = opened.unwrap();
    let items = stream::iter((0..100).map(|number| Ok::<_, SendError>(Bytes::from(vec![number]))));
    soon(items.forward(outbound)).await.unwrap();
    let sum = soon(inbound.next()).await.unwrap().unwrap();
    assert_eq!(sum[..], 4950_u64.to_be_bytes());
    assert_eq!(soon(inbound.next()).await, None);
}

#[tokio::test]
async fn items_before_an_error_come_before_it() {
    let (left, _right) = nodes(1.into()).await;
    let (mut outbound, mut inbound) = only(&left).stream(FAIL, 1, "").await.unwrap();
    for item in ["a", "b", "c"] {
        assert_eq!(soon(inbound.next()).await, Some(Ok(item.into())));
    }
    assert_eq!(soon(inbound.next()).await, Some(Err(CallError::Remote(RemoteError::new("failed after 3")))));
    assert_eq!(soon(inbound.next()).await, None);
    assert_eq!(soon(SinkExt::send(&mut outbound, "x".into())).await, Err(SendError::Ended));
}

#[tokio::test]
async fn an_unknown_stream_is_refused_at_its_opening() {
    let (left, right) = nodes(1.into()).await;
    for id in [99, 20] {
        let call = only(&right).stream(id, 1, "");
        let Err(CallError::Refused(refusal)) = soon(call.into_future()).await else { panic!("it opened") };
        assert_eq!(refusal.reason(), RefusalReason::UnknownHandler);
    }
    assert!(matches!(only(&left).single(ECHO, "").await, Err(CallError::Refused(_))), "a stream is no single request");
    assert_idle(&left).await;
    assert_idle(&right).await;
}

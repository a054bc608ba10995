//! The calls that the node under test makes of its peer.

use std::time::Duration;

use bytes::Bytes;
use grid::{Connection, Windows};

use super::choices::Choices;
use super::handlers::{AllClient, STREAM_ECHO};
use crate::probe::ECHO;

/// What is called, and how much of it is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    kind: u8,
    timeout: Duration,
    window: u32,
    sends: usize,
    reads: usize,
    item_bytes: usize,
}

impl Plan {
    pub(super) fn new(choices: &mut Choices<'_>) -> Self {
        Self {
            kind: choices.byte() % 6,
            timeout: Duration::from_millis(choices.of(&[60_000, 1, 20, 3_000])),
            window: choices.of(&[1, 2, 64]),
            sends: choices.below(6),
            reads: choices.below(8),
            item_bytes: choices.of(&[0, 10, 2_000]),
        }
    }
}

/// Makes a call to its end, or drops it when enough was read. How it ends is all one, but it does.
pub(super) async fn make(connection: Connection, plan: Plan) {
    let Plan { kind, timeout, window, sends, reads, item_bytes } = plan;
    let item = vec![7; item_bytes];
    let all = AllClient::new(connection.clone());
    match kind {
        0 => drop(connection.single(ECHO, item).timeout(timeout).await),
        1 => {
            let stream = connection.stream(STREAM_ECHO, window, item.clone()).timeout(timeout);
            let Ok((out, mut items)) = stream.await else { return };
            for _ in 0..sends {
                if out.send(Bytes::from(item.clone())).await.is_err() {
                    break;
                }
            }
            let _sent_or_over = out.finish().await;
            for _ in 0..reads {
                if items.next().await.is_none() {
                    assert!(items.next().await.is_none(), "nothing comes after the end");
                    break;
                }
            }
        }
        2 => {
            let stream = connection.stream(STREAM_ECHO, Windows::responses(window), item).timeout(timeout);
            let Ok((_, mut items)) = stream.await else { return };
            while items.next().await.is_some_and(|item| item.is_ok()) {}
        }
        3 => drop(all.single("key", &item, Vec::new()).timeout(timeout).await),
        4 => {
            let Ok(mut items) = all.watch(3).timeout(timeout).await else { return };
            while let Some(item) = items.next().await {
                if item.is_err() {
                    assert!(items.next().await.is_none(), "an error is the last");
                }
            }
        }
        _ => {
            let Ok((rows, sum)) = all.load("x").timeout(timeout).await else { return };
            if reads > 0 {
                drop(rows);
            }
            drop(sum.await);
        }
    }
}

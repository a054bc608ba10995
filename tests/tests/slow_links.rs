//! Links that carry little, but do carry. Under virtual time.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use grid::{BoxIo, CallError, Connector, Manager, State};
use grid_tests::memory::{LINK_BYTES, Network, names, settle, within};
use grid_tests::mesh::only;
use grid_tests::probe::{ECHO, echo};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, duplex, split};
use tokio::time::{Instant, sleep};

/// Carries [`BYTES_PER_SECOND`] in either direction.
#[derive(Clone)]
struct Slow(Network);

const BYTES_PER_SECOND: usize = 10_000;

impl Connector for Slow {
    fn connect<'a>(&'a self, name: &'a str) -> Pin<Box<dyn Future<Output = io::Result<BoxIo>> + Send + 'a>> {
        Box::pin(async move {
            let (far_read, far_write) = split(self.0.connect(name).await?);
            let (near, pumped) = duplex(LINK_BYTES);
            let (near_read, near_write) = split(pumped);
            tokio::spawn(pump(near_read, far_write));
            tokio::spawn(pump(far_read, near_write));
            Ok(Box::new(near) as BoxIo)
        })
    }
}

async fn pump(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
    let mut bytes = [0; BYTES_PER_SECOND / 10];
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        sleep(Duration::from_millis(100)).await;
        if to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}

async fn mesh() -> (Manager, Manager) {
    let network = Network::default();
    let (dialling, dialled) = names();
    let right = echo(network.builder(&dialled).peers([&*dialling])).build().expect("it starts");
    network.add(&right);
    let left = Manager::builder(dialling).connector(Slow(network)).peers([&*dialled]).build().expect("it starts");
    within(only(&left).ready()).await.expect("not shut down");
    (left, right)
}

#[tokio::test(start_paused = true)]
async fn small_calls_live_on_a_slow_link() {
    let (left, _right) = mesh().await;
    for _ in 0..10 {
        assert_eq!(only(&left).single(ECHO, "x").await, Ok(Bytes::from("x")));
        sleep(Duration::from_secs(30)).await;
    }
    assert_eq!((only(&left).state(), only(&left).stats().reconnects), (State::Connected, 0));
}

/// Pings wait behind the message, and so do the answers to them; but bytes come in all the time.
#[tokio::test(start_paused = true)]
async fn a_peer_that_is_busy_sending_one_large_message_is_not_taken_for_dead() {
    let (left, _right) = mesh().await;
    let minute = BYTES_PER_SECOND * 60;
    let answer = only(&left).single(ECHO, vec![7; minute]).timeout(Duration::from_secs(600)).await;
    assert_eq!(answer.map(|answer| answer.len()), Ok(minute));
    assert_eq!(only(&left).stats().reconnects, 0);
}

#[tokio::test(start_paused = true)]
async fn a_drain_over_a_slow_link_ends_within_its_limits() {
    let (left, right) = mesh().await;
    let call = tokio::spawn(only(&right).single(ECHO, vec![7; BYTES_PER_SECOND * 600]).into_future());
    settle().await;
    let start = Instant::now();
    within(right.shutdown()).await;
    assert_eq!(start.elapsed(), Duration::from_secs(10 + 4), "for the call, and for what is queued");
    assert_eq!(within(call).await.expect("no panic"), Err(CallError::Cancelled));
    drop(left);
}

//! What `#[rpc(..)]` says of a method with streams: windows, timeouts, ids.

use std::time::Duration;

use futures_util::{FutureExt, Stream, stream};
use grid::{CallError, Context, Describe, Inbound, MethodKind, Outbound, Windows};
use grid_tests::memory::Network;
use grid_tests::mesh::{only, soon};
use tokio::task::unconstrained;

use super::{collect, serving};

#[grid::service(id = 1)]
trait Windowed {
    #[rpc(window = 3)]
    async fn fill(&self, out: Outbound<u32>) -> Result<(), u32>;
    #[rpc(out_window = 1)]
    async fn fill_one(&self, out: Outbound<u32>) -> Result<(), u32>;
    async fn fill_default(&self, out: Outbound<u32>) -> Result<(), u32>;
    #[rpc(in_window = 5)]
    async fn take(&self, rows: Inbound<u32>) -> u32;
    #[rpc(in_window = 2, out_window = 65536)]
    async fn both(&self, rows: Inbound<u32>, out: Outbound<u32>);
    #[rpc(out_window = 2)]
    async fn one(&self, rows: Inbound<u32>, out: Outbound<u32>);
    #[rpc(window = 4)]
    fn returned(&self, rows: Inbound<u32>) -> impl Stream<Item = u32>;
    #[rpc(window = 0x10)]
    fn watch(&self) -> impl Stream<Item = u32>;
    fn watch_default(&self) -> impl Stream<Item = u32>;
}

struct Filled;

/// Sends what can be sent without waiting, and fails with how much that was.
async fn fill(out: Outbound<u32>) -> Result<(), u32> {
    let mut sent = 0;
    while let Some(Ok(())) = unconstrained(out.send(sent)).now_or_never() {
        sent += 1;
    }
    Err(sent)
}

impl Windowed for Filled {
    async fn fill(&self, out: Outbound<u32>) -> Result<(), u32> {
        fill(out).await
    }

    async fn fill_one(&self, out: Outbound<u32>) -> Result<(), u32> {
        fill(out).await
    }

    async fn fill_default(&self, out: Outbound<u32>) -> Result<(), u32> {
        fill(out).await
    }

    async fn take(&self, mut rows: Inbound<u32>) -> u32 {
        let mut count = 0;
        while let Some(Ok(_)) = rows.next().await {
            count += 1;
        }
        count
    }

    async fn both(&self, rows: Inbound<u32>, _: Outbound<u32>) {
        self.take(rows).await;
    }

    async fn one(&self, rows: Inbound<u32>, _: Outbound<u32>) {
        self.take(rows).await;
    }

    fn returned(&self, _: Inbound<u32>) -> impl Stream<Item = u32> {
        stream::empty()
    }

    fn watch(&self) -> impl Stream<Item = u32> {
        stream::empty()
    }

    fn watch_default(&self) -> impl Stream<Item = u32> {
        stream::empty()
    }
}

#[test]
fn windows_are_described_and_have_a_default() {
    let default = Windows::DEFAULT;
    let kinds: Vec<MethodKind> = WindowedClient::DESCRIPTION.methods.iter().map(|method| method.kind).collect();
    let expected = [
        MethodKind::Responses { out_window: 3 },
        MethodKind::Responses { out_window: 1 },
        MethodKind::Responses { out_window: default },
        MethodKind::Requests { in_window: 5 },
        MethodKind::TwoWay { in_window: 2, out_window: 65536 },
        MethodKind::TwoWay { in_window: default, out_window: 2 },
        MethodKind::TwoWay { in_window: 4, out_window: 4 },
        MethodKind::Responses { out_window: 16 },
        MethodKind::Responses { out_window: default },
    ];
    assert_eq!(kinds, expected);
}

#[tokio::test]
async fn a_handler_runs_ahead_by_its_window() {
    let (connection, _nodes) = serving(WindowedServer::new(Filled)).await;
    let client = WindowedClient::new(connection);
    for (call, window) in [(client.fill(), 3), (client.fill_one(), 1), (client.fill_default(), Windows::DEFAULT)] {
        let items = collect(soon(call.into_future()).await.expect("it opens")).await;
        assert_eq!(items, ((0..window).collect(), Err(CallError::Remote(window))));
    }
}

#[tokio::test]
async fn a_caller_runs_ahead_by_the_window_of_the_method() {
    fn fill(out: &Outbound<u32>) -> u32 {
        (0..).take_while(|number| matches!(unconstrained(out.send(*number)).now_or_never(), Some(Ok(())))).count()
            as u32
    }

    let (connection, _nodes) = serving(WindowedServer::new(Filled)).await;
    let client = WindowedClient::new(connection);
    let (out, count) = client.take().await.expect("it opens");
    assert_eq!(fill(&out), 5);
    soon(out.finish()).await.expect("the handler reads");
    assert_eq!(soon(count).await, Ok(5));
    let (out, _inbound) = client.both().await.expect("it opens");
    assert_eq!(fill(&out), 2);
    let (out, _inbound) = client.one().await.expect("it opens");
    assert_eq!(fill(&out), Windows::DEFAULT);
}

#[grid::service(id = 0, codec = "compact")]
trait Timed {
    #[rpc(id = 100, timeout = "100ms", window = 1)]
    fn hang(&self, cx: &Context) -> impl Stream<Item = bool>;
    #[rpc(id = 200)]
    fn free(&self, cx: &Context) -> impl Stream<Item = bool>;
    #[rpc(timeout = "1h")]
    async fn long(&self, cx: &Context, rows: Inbound<()>) -> bool;
}

impl Timed for Filled {
    /// Whether it has a deadline, and then nothing for ever.
    fn hang(&self, cx: &Context) -> impl Stream<Item = bool> {
        let timed = cx.remaining().is_some();
        stream::unfold(Some(timed), async move |timed| Some((timed?, None))).chain_pending()
    }

    fn free(&self, cx: &Context) -> impl Stream<Item = bool> {
        stream::iter([cx.remaining().is_some()])
    }

    async fn long(&self, cx: &Context, rows: Inbound<()>) -> bool {
        drop(rows);
        cx.remaining().is_some_and(|left| left > Duration::from_secs(60))
    }
}

trait ChainPending: Stream + Sized {
    fn chain_pending(self) -> impl Stream<Item = Self::Item> {
        futures_util::StreamExt::chain(self, stream::pending())
    }
}

impl<S: Stream> ChainPending for S {}

#[tokio::test(start_paused = true)]
async fn a_stream_has_the_timeout_of_its_method_or_none() {
    let (left, _right) = Network::default().pair(|left| left, |right| right.serve(TimedServer::new(Filled))).await;
    let client = TimedClient::new(only(&left));
    assert_eq!((TimedClient::HANG.method(), TimedClient::FREE.method(), TimedClient::LONG.method()), (100, 200, 3));
    let hang = collect(client.hang().await.expect("it opens")).await;
    assert_eq!(hang, (vec![true], Err(CallError::DeadlineExceeded)));
    assert_eq!(collect(client.free().await.expect("it opens")).await, (vec![false], Ok(())));
    let (_rows, long) = client.long().await.expect("it opens");
    assert_eq!(soon(long).await, Ok(true));
}

//! Each kind of call, in each way to write it.

use futures_util::{Stream, StreamExt, stream};
use grid::{CallError, Inbound, Outbound, RemoteError};
use grid_tests::mesh::soon;
use serde::{Deserialize, Serialize};

use super::{collect, serving};

/// An error of the user's own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Oops {
    Cut { after: u32 },
    Local(String),
}

impl From<grid::SendError> for Oops {
    fn from(error: grid::SendError) -> Self {
        Self::Local(error.to_string())
    }
}

/// Streams of responses.
#[grid::service(id = 1)]
trait Responses {
    fn returned(&self, count: u32) -> impl Stream<Item = Result<u32, Oops>>;
    fn returned_bare(&self, count: u32) -> impl Stream<Item = u32>;
    async fn sent(&self, count: u32, out: Outbound<u32>) -> Result<(), Oops>;
    async fn sent_bare(&self, count: u32, out: Outbound<u32>);
    async fn sent_unit(&self, count: u32, out: grid::Outbound<u32>) -> ();
}

struct Numbers;

impl Responses for Numbers {
    /// Fails after as many as are asked for, if these are odd.
    fn returned(&self, count: u32) -> impl Stream<Item = Result<u32, Oops>> {
        let end = if count % 2 == 1 { Some(Err(Oops::Cut { after: count })) } else { None };
        stream::iter((0..count).map(Ok).chain(end).chain([Ok(99)].into_iter().filter(move |_| count % 2 == 1)))
    }

    fn returned_bare(&self, count: u32) -> impl Stream<Item = u32> {
        stream::iter(0..count)
    }

    async fn sent(&self, count: u32, out: Outbound<u32>) -> Result<(), Oops> {
        self.sent_bare(count, out).await;
        if count % 2 == 1 { Err(Oops::Cut { after: count }) } else { Ok(()) }
    }

    async fn sent_bare(&self, count: u32, out: Outbound<u32>) {
        for number in 0..count {
            out.send(number).await.expect("the caller reads");
        }
    }

    async fn sent_unit(&self, count: u32, out: Outbound<u32>) {
        self.sent_bare(count, out).await;
    }
}

#[tokio::test]
async fn responses_come_in_order_and_an_error_comes_last() {
    let (connection, _nodes) = serving(ResponsesServer::new(Numbers)).await;
    let client = ResponsesClient::new(connection);
    for count in [0, 1, 2, 200, 201] {
        let numbers: Vec<u32> = (0..count).collect();
        let end = if count % 2 == 1 { Err(CallError::Remote(Oops::Cut { after: count })) } else { Ok(()) };
        let expected = (numbers.clone(), end);
        let returned: Inbound<u32, Oops> = client.returned(count).await.expect("it opens");
        assert_eq!(collect(returned).await, expected);
        assert_eq!(collect(client.sent(count).await.expect("it opens")).await, expected);
        let bare = [client.returned_bare(count), client.sent_bare(count), client.sent_unit(count)];
        for call in bare {
            assert_eq!(collect(call.await.expect("it opens")).await, (numbers.clone(), Ok(())));
        }
    }
}

/// Streams of requests.
#[grid::service(id = 2)]
trait Requests {
    async fn sum(&self, from: u32, numbers: Inbound<u32>) -> Result<u32, Oops>;
    async fn sum_bare(&self, numbers: Inbound<u32>) -> u32;
    async fn drain(&self, numbers: Inbound<u32>) -> Result<(), Oops>;
    async fn drain_bare(&self, numbers: Inbound<u32>);
    async fn early(&self, numbers: Inbound<u32>) -> Result<String, RemoteError>;
}

impl Requests for Numbers {
    async fn sum(&self, from: u32, numbers: Inbound<u32>) -> Result<u32, Oops> {
        match self.sum_bare(numbers).await {
            0 => Err(Oops::Cut { after: from }),
            sum => Ok(from + sum),
        }
    }

    async fn sum_bare(&self, numbers: Inbound<u32>) -> u32 {
        numbers.map(|number| number.expect("the items are numbers")).fold(0, async |sum, number| sum + number).await
    }

    async fn drain(&self, numbers: Inbound<u32>) -> Result<(), Oops> {
        if self.sum_bare(numbers).await == 0 { Err(Oops::Cut { after: 0 }) } else { Ok(()) }
    }

    async fn drain_bare(&self, numbers: Inbound<u32>) {
        self.sum_bare(numbers).await;
    }

    /// Answers before the items have ended.
    async fn early(&self, mut numbers: Inbound<u32>) -> Result<String, RemoteError> {
        match numbers.next().await {
            Some(Ok(number)) => Ok(format!("first {number}")),
            other => Err(RemoteError::new(format!("{other:?}"))),
        }
    }
}

macro_rules! answered {
    ($call:expr, $numbers:expr) => {{
        let (outbound, answer) = $call.await.expect("it opens");
        let numbers: std::ops::Range<u32> = $numbers;
        for number in numbers {
            soon(outbound.send(number)).await.expect("the handler reads");
        }
        soon(outbound.finish()).await.expect("the handler goes on to the end");
        soon(answer).await
    }};
}

#[tokio::test]
async fn requests_are_answered_once_with_an_answer_or_an_error() {
    let (connection, _nodes) = serving(RequestsServer::new(Numbers)).await;
    let client = RequestsClient::new(connection);
    assert_eq!(answered!(client.sum(7), 0..200), Ok(7 + 199 * 100));
    assert_eq!(answered!(client.sum(7), 0..0), Err(CallError::Remote(Oops::Cut { after: 7 })));
    assert_eq!(answered!(client.sum_bare(), 0..3), Ok(3));
    assert_eq!(answered!(client.drain(), 0..3), Ok(()));
    assert_eq!(answered!(client.drain(), 0..0), Err(CallError::Remote(Oops::Cut { after: 0 })));
    assert_eq!(answered!(client.drain_bare(), 0..3), Ok(()));
}

#[tokio::test]
async fn an_answer_may_come_before_the_end_of_the_requests() {
    let (connection, _nodes) = serving(RequestsServer::new(Numbers)).await;
    let (outbound, answer) = RequestsClient::new(connection).early().await.expect("it opens");
    soon(outbound.send(5)).await.expect("it has just opened");
    assert_eq!(soon(answer).await.as_deref(), Ok("first 5"));
    assert_eq!(soon(outbound.send(6)).await, Err(grid::SendError::Ended));
}

/// Both directions at once.
#[grid::service(id = 3)]
trait TwoWay {
    async fn sync(&self, since: u64, ops: Inbound<String>, acks: Outbound<u64>) -> Result<(), Oops>;
    async fn sync_bare(&self, acks: Outbound<u64>, since: u64, ops: Inbound<String>);
    fn returned(&self, since: u64, ops: Inbound<String>) -> impl Stream<Item = Result<u64, Oops>>;
    fn returned_bare(&self, ops: Inbound<String>, since: u64) -> impl Stream<Item = u64>;
}

impl TwoWay for Numbers {
    async fn sync(&self, since: u64, mut ops: Inbound<String>, acks: Outbound<u64>) -> Result<(), Oops> {
        while let Some(op) = ops.next().await {
            match op.expect("the items are texts").as_str() {
                "stop" => return Err(Oops::Cut { after: 0 }),
                op => acks.send(since + op.len() as u64).await?,
            }
        }
        Ok(())
    }

    async fn sync_bare(&self, acks: Outbound<u64>, since: u64, ops: Inbound<String>) {
        self.sync(since, ops, acks).await.expect("nobody says stop");
    }

    fn returned(&self, since: u64, ops: Inbound<String>) -> impl Stream<Item = Result<u64, Oops>> {
        ops.map(move |op| match op.expect("the items are texts").as_str() {
            "stop" => Err(Oops::Cut { after: 0 }),
            op => Ok(since + op.len() as u64),
        })
    }

    fn returned_bare(&self, ops: Inbound<String>, since: u64) -> impl Stream<Item = u64> {
        TwoWay::returned(self, since, ops).map(|ack| ack.expect("nobody says stop"))
    }
}

/// A question and its answer, again and again, and then the end.
macro_rules! in_turns {
    ($call:expr) => {{
        let (outbound, mut inbound) = $call.await.expect("it opens");
        for op in ["", "a", "abc"] {
            soon(outbound.send(op.to_owned())).await.expect("the handler reads");
            assert_eq!(soon(inbound.next()).await, Some(Ok(10 + op.len() as u64)));
        }
        soon(outbound.finish()).await.expect("the handler has not ended");
        assert_eq!(soon(inbound.next()).await, None);
    }};
}

#[tokio::test]
async fn both_directions_interleave_in_every_spelling() {
    let (connection, _nodes) = serving(TwoWayServer::new(Numbers)).await;
    let client = TwoWayClient::new(connection);
    in_turns!(client.sync(10));
    in_turns!(client.sync_bare(10));
    in_turns!(client.returned(10));
    in_turns!(client.returned_bare(10));
    for call in [client.sync(0), client.returned(0)] {
        let (outbound, inbound) = call.await.expect("it opens");
        for op in ["abc", "stop"] {
            soon(outbound.send(op.to_owned())).await.expect("the handler reads");
        }
        assert_eq!(collect(inbound).await, (vec![3], Err(CallError::Remote(Oops::Cut { after: 0 }))));
    }
}

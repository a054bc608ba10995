//! Streams of 512 bytes an item: what is done, the same for all peers. A peer brings [`Streams`] and the server's side.

use std::future::Future;

use anyhow::{Result, ensure};
use bytes::Bytes;
use futures_util::future::try_join_all;

use crate::case::{Case, Done, Group, Plan, Sample};
use crate::figure::Figure;
use crate::item::{Check, Incoming, item};
use crate::peers::{BareStreams, GridStreams, Tonic};

/// A connection of a client to a server, both in this process. A clone is the same connection.
///
/// Each peer does this in the way that is its fastest and that its documentation shows.
pub(crate) trait Streams: Clone + Send + Sync + 'static {
    /// Begins a stream in which the server sends so many items.
    fn responses(&self, count: u64) -> impl Future<Output = Result<impl Incoming>> + Send;

    /// Sends so many items, and gives how many the server says it got. It checks them.
    fn requests(&self, count: u64) -> impl Future<Output = Result<u64>> + Send;

    /// Begins a stream in which the server sends back each item that it gets. It checks them.
    fn exchange(&self) -> impl Future<Output = Result<(impl Outgoing, impl Incoming)>> + Send;
}

/// The items that a client sends.
pub(crate) trait Outgoing: Send {
    fn send(&mut self, item: Bytes) -> impl Future<Output = Result<()>> + Send;

    /// Says that there are no more.
    fn finish(self) -> impl Future<Output = Result<()>> + Send;
}

/// The directions in which items go.
#[derive(Debug, Clone, Copy)]
enum Shape {
    /// The server sends.
    Response,
    /// The client sends, and gets one answer.
    Request,
    /// The client sends one and waits until it is back, before it sends the next.
    PingPong,
}

impl Shape {
    const ALL: [Self; 3] = [Self::Response, Self::Request, Self::PingPong];

    fn name(self) -> &'static str {
        match self {
            Self::Response => "response",
            Self::Request => "request",
            Self::PingPong => "ping-pong",
        }
    }

    /// One stream of so many items, from its opening to its end.
    async fn run(self, peer: &impl Streams, count: u64) -> Result<()> {
        let seen = match self {
            Self::Response => Check::default().all(peer.responses(count).await?).await?,
            Self::Request => peer.requests(count).await?,
            Self::PingPong => {
                let (mut outgoing, mut incoming) = peer.exchange().await?;
                let mut check = Check::default();
                for number in 0..count {
                    outgoing.send(item(number)).await?;
                    check.next(&mut incoming).await?;
                }
                outgoing.finish().await?;
                check.all(incoming).await?
            }
        };
        ensure!(seen == count, "{seen} items came, not {count}");
        Ok(())
    }
}

/// Runs streams of one shape on one connection, all at once, each in a task of its own.
async fn measure(peer: impl Streams, shape: Shape, streams: u64, plan: Plan) -> Result<Sample> {
    plan.measure(|count| {
        let peer = peer.clone();
        async move {
            let run = |_| {
                let peer = peer.clone();
                tokio::spawn(async move { shape.run(&peer, count).await })
            };
            let ended = try_join_all((0..streams).map(run)).await?;
            ended.into_iter().collect::<Result<()>>()?;
            Ok(Done::units(count * streams))
        }
    })
    .await
}

/// All cases of streams.
pub(crate) fn group() -> Group {
    let mut cases = Vec::new();
    for shape in Shape::ALL {
        for streams in STREAMS {
            let row = format!("{}-{streams}", shape.name());
            cases.push(Case::new(NAME, row.clone(), "tonic".into(), move |plan| async move {
                measure(Tonic::start().await?, shape, streams, plan).await
            }));
            cases.push(Case::new(NAME, row.clone(), "bare-mux".into(), move |plan| async move {
                measure(BareStreams::start().await?, shape, streams, plan).await
            }));
            for window in WINDOWS {
                cases.push(Case::new(NAME, row.clone(), format!("grid-w{window}"), move |plan| async move {
                    measure(GridStreams::start(window).await?, shape, streams, plan).await
                }));
            }
        }
    }
    Group { name: NAME, about: ABOUT, unit: "items", reference: "tonic", figures: FIGURES, cases }
}

const NAME: &str = "streams";
const ABOUT: &str = "\
Streams of items of 512 bytes, 1 and 64 at once (the number behind the shape). Shapes: `response`, the server sends;
`request`, the client sends and gets one answer; `ping-pong`, one item to and fro at a time, an item being both ways.
`bare-mux` is streams by hand
over a WebSocket, without flow control. `w` is grid's window; tonic's is in bytes, at its default. Each item is checked for its length and its number where it
arrives, and each stream for its end. Items are counted from the opening of the streams to the end of the last.";
const FIGURES: &[Figure] = &[Figure::RATE.beside(), Figure::CPU.beside(), Figure::CORES];
/// Streams at once.
const STREAMS: [u64; 2] = [1, 64];
/// Windows of grid.
const WINDOWS: [u32; 4] = [1, 16, 64, 1024];

//! What streams cost at least: a multiplexer by hand over a WebSocket, without credits, deadlines or cancellation. What
//! was received waits in a channel without bounds for its reader.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, bail, ensure};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::StreamExt;
use slab::Slab;
use tokio::net::TcpStream;
use tokio::sync::mpsc::{Sender, UnboundedReceiver, UnboundedSender, channel, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_stream::wrappers::UnboundedReceiverStream;

use super::wire::{self, QUEUE, WebSocket, Wire, dial, listen, locked, write};
use crate::item::{Check, Incoming, bulk_item, item, number, parse_number};
use crate::mixed::Download;
use crate::streams::{Outgoing, Streams};
use crate::unary::Echo;

/// A connection of a client.
#[derive(Clone)]
pub(crate) struct BareStreams {
    open: Open,
    queue: Sender<Bytes>,
}

/// Where the items of each stream go. Its place is the number of the stream.
type Open = Arc<Mutex<Slab<UnboundedSender<Bytes>>>>;

impl BareStreams {
    pub(crate) async fn start() -> Result<Self> {
        Self::connect(Self::serve().await?).await
    }

    async fn open(&self, kind: Kind, payload: &[u8]) -> Result<(Half, UnboundedReceiver<Bytes>)> {
        let (items, received) = unbounded_channel();
        let stream = locked(&self.open, |open| open.insert(items)) as u64;
        self.queue.send(message(kind, stream, payload)).await?;
        Ok((Half { stream, queue: self.queue.clone() }, received))
    }
}

impl Echo for BareStreams {
    type Answer = Bytes;

    async fn serve() -> Result<SocketAddr> {
        listen(serve).await
    }

    async fn connect(server: SocketAddr) -> Result<Self> {
        let (outgoing, incoming) = WebSocket::connect(dial(server).await?).await?;
        let (queue, queued) = channel(QUEUE);
        let open = Open::default();
        let streams = Arc::clone(&open);
        tokio::spawn(write(queued, outgoing, move |queued| {
            queued > 1 || locked(&streams, |streams| streams.len()) > 1
        }));
        tokio::spawn(read(incoming, Arc::clone(&open)));
        Ok(Self { open, queue })
    }

    async fn echo(&self, payload: &[u8]) -> Result<Bytes> {
        self.open(Kind::Call, payload).await?.1.recv().await.context("an answer comes")
    }
}

impl Download for BareStreams {
    async fn download(&self, item_bytes: u64) -> Result<impl Incoming + 'static> {
        Ok(incoming(self.open(Kind::Download, &number(item_bytes)).await?.1))
    }
}

impl Streams for BareStreams {
    async fn responses(&self, count: u64) -> Result<impl Incoming> {
        Ok(incoming(self.open(Kind::Responses, &number(count)).await?.1))
    }

    async fn requests(&self, count: u64) -> Result<u64> {
        let (mut half, mut received) = self.open(Kind::Requests, &[]).await?;
        for number in 0..count {
            half.send(item(number)).await?;
        }
        half.finish().await?;
        let answer = received.recv().await.context("an answer comes")?;
        ensure!(received.recv().await.is_none(), "one answer comes");
        parse_number(&answer)
    }

    async fn exchange(&self) -> Result<(impl Outgoing, impl Incoming)> {
        let (half, received) = self.open(Kind::Exchange, &[]).await?;
        Ok((half, incoming(received)))
    }
}

fn incoming(items: UnboundedReceiver<Bytes>) -> impl Incoming {
    UnboundedReceiverStream::new(items).map(Ok::<_, Infallible>)
}

/// Hands items to those who wait for them.
async fn read(mut incoming: impl wire::Incoming, open: Open) -> Result<()> {
    while let Some(message) = incoming.next().await {
        let (kind, stream, payload) = parse(message?)?;
        let stream = usize::try_from(stream)?;
        locked(&open, |open| match kind {
            // Who stopped to read does not miss it.
            Kind::Item => open.get(stream).map(|items| drop(items.send(payload))).context("it is open"),
            Kind::Answer => open.try_remove(stream).map(|items| drop(items.send(payload))).context("it is open"),
            _ => open.try_remove(stream).context("it is open").map(drop),
        })?;
    }
    Ok(())
}

/// The server's side of a connection.
async fn serve(stream: TcpStream) -> Result<()> {
    let (outgoing, mut incoming) = WebSocket::accept(stream).await?;
    let (queue, queued) = channel(QUEUE);
    let running = Arc::new(AtomicUsize::new(0));
    let streams = Arc::clone(&running);
    tokio::spawn(write(queued, outgoing, move |queued| queued > 1 || streams.load(Ordering::Relaxed) > 1));
    let mut open = HashMap::new();
    while let Some(message) = incoming.next().await {
        let (kind, stream, payload) = parse(message?)?;
        match kind {
            Kind::Item => open.get(&stream).map(|items: &UnboundedSender<_>| items.send(payload)).context("open")??,
            Kind::End => drop(open.remove(&stream)),
            Kind::Answer => bail!("a client answers nothing"),
            Kind::Responses | Kind::Requests | Kind::Exchange | Kind::Call | Kind::Download => {
                let (items, received) = unbounded_channel();
                if matches!(kind, Kind::Requests | Kind::Exchange) {
                    open.insert(stream, items);
                }
                let (half, running) = (Half { stream, queue: queue.clone() }, Arc::clone(&running));
                running.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(async move {
                    let served = handle(kind, payload, received, half).await;
                    running.fetch_sub(1, Ordering::Relaxed);
                    served
                });
            }
        }
    }
    Ok(())
}

/// The handlers.
async fn handle(kind: Kind, payload: Bytes, mut received: UnboundedReceiver<Bytes>, mut half: Half) -> Result<()> {
    match kind {
        Kind::Responses => {
            for number in 0..parse_number(&payload)? {
                half.send(item(number)).await?;
            }
        }
        Kind::Call => return Ok(half.queue.send(message(Kind::Answer, half.stream, &payload)).await?),
        Kind::Download => {
            let (item, ahead) = (bulk_item(parse_number(&payload)?), Arc::new(Semaphore::new(AHEAD)));
            loop {
                let permit = Arc::clone(&ahead).acquire_owned().await?;
                let bytes = message(Kind::Item, half.stream, &item);
                half.queue.send(Bytes::from_owner(Ahead { bytes, _permit: permit })).await?;
            }
        }
        Kind::Requests => half.send(number(Check::default().all(incoming(received)).await?)).await?,
        _ => {
            let mut check = Check::default();
            while let Some(item) = received.recv().await {
                check.item(&item)?;
                half.send(item).await?;
            }
        }
    }
    half.finish().await
}

/// Where one end of a stream sends.
struct Half {
    stream: u64,
    queue: Sender<Bytes>,
}

impl Outgoing for Half {
    async fn send(&mut self, item: Bytes) -> Result<()> {
        Ok(self.queue.send(message(Kind::Item, self.stream, &item)).await?)
    }

    async fn finish(self) -> Result<()> {
        Ok(self.queue.send(message(Kind::End, self.stream, &[])).await?)
    }
}

/// A message of bulk. When it is dropped, as it is written, the next may be made.
struct Ahead {
    bytes: Bytes,
    _permit: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Ahead {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// What a message means. The first five open a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Responses,
    Requests,
    Exchange,
    /// Opens a stream of one [`Kind::Answer`].
    Call,
    Download,
    Item,
    /// The only item, and the end.
    Answer,
    End,
}

/// The kind, the number of the stream, and what is sent.
fn message(kind: Kind, stream: u64, payload: &[u8]) -> Bytes {
    let mut message = BytesMut::with_capacity(1 + size_of_val(&stream) + payload.len());
    message.put_u8(kind as u8);
    message.put_u64(stream);
    message.put(payload);
    message.freeze()
}

fn parse(mut message: Bytes) -> Result<(Kind, u64, Bytes)> {
    use Kind::{Answer, Call, Download, End, Exchange, Item, Requests, Responses};
    let all = [Responses, Requests, Exchange, Call, Download, Item, Answer, End];
    let Some(kind) = all.get(usize::from(message.try_get_u8()?)) else { bail!("there is no such kind") };
    Ok((*kind, message.try_get_u64()?, message))
}

/// Messages of bulk that may wait to be written. What is queued is not bounded in bytes otherwise.
const AHEAD: usize = 2;

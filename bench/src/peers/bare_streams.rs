//! What streams cost at least: a multiplexer by hand over a WebSocket, without credits, deadlines or cancellation. What
//! was received waits in a channel without bounds for its reader.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, bail, ensure};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::StreamExt;
use slab::Slab;
use tokio::net::TcpStream;
use tokio::sync::mpsc::{Sender, UnboundedReceiver, UnboundedSender, channel, unbounded_channel};
use tokio_stream::wrappers::UnboundedReceiverStream;

use super::wire::{self, QUEUE, WebSocket, Wire, dial, listen, locked, write};
use crate::item::{Check, Incoming, item, number, parse_number};
use crate::streams::{Outgoing, Streams};

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
        let (outgoing, incoming) = WebSocket::connect(dial(listen(serve).await?).await?).await?;
        let (queue, queued) = channel(QUEUE);
        let open = Open::default();
        let streams = Arc::clone(&open);
        tokio::spawn(write(queued, outgoing, move |queued| {
            queued > 1 || locked(&streams, |streams| streams.len()) > 1
        }));
        tokio::spawn(read(incoming, Arc::clone(&open)));
        Ok(Self { open, queue })
    }

    async fn open(&self, kind: Kind, payload: &[u8]) -> Result<(Half, UnboundedReceiver<Bytes>)> {
        let (items, received) = unbounded_channel();
        let stream = locked(&self.open, |open| open.insert(items)) as u64;
        self.queue.send(message(kind, stream, payload)).await?;
        Ok((Half { stream, queue: self.queue.clone() }, received))
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
            Kind::Item => open.get(stream).context("it is open")?.send(payload).context("somebody reads"),
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
            Kind::Responses | Kind::Requests | Kind::Exchange => {
                let (items, received) = unbounded_channel();
                if kind != Kind::Responses {
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

/// What a message means. The first three open a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Responses,
    Requests,
    Exchange,
    Item,
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
    let all = [Kind::Responses, Kind::Requests, Kind::Exchange, Kind::Item, Kind::End];
    let Some(kind) = all.get(usize::from(message.try_get_u8()?)) else { bail!("there is no such kind") };
    Ok((*kind, message.try_get_u64()?, message))
}

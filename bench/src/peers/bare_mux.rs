//! What single calls cost at least: a multiplexer by hand, without deadlines, cancellation, limits or more than one
//! handler. A message is the number of a call and its payload.

use std::marker::PhantomData;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::StreamExt;
use slab::Slab;
use tokio::net::TcpStream;
use tokio::sync::mpsc::{Sender, channel};
use tokio::sync::oneshot;

use super::wire::{Incoming, QUEUE, Wire, dial, listen, locked, write};
use crate::unary::Echo;

/// A connection of a client.
pub(crate) struct BareMux<W> {
    waiting: Waiting,
    queue: Sender<Bytes>,
    wire: PhantomData<W>,
}

/// Where the answer of each call goes. Its place is the number of the call.
type Waiting = Arc<Mutex<Slab<oneshot::Sender<Bytes>>>>;

impl<W> Clone for BareMux<W> {
    fn clone(&self) -> Self {
        Self { waiting: Arc::clone(&self.waiting), queue: self.queue.clone(), wire: PhantomData }
    }
}

impl<W: Wire> Echo for BareMux<W> {
    type Answer = Bytes;

    async fn serve() -> Result<SocketAddr> {
        listen(serve::<W>).await
    }

    async fn connect(server: SocketAddr) -> Result<Self> {
        let (outgoing, incoming) = W::connect(dial(server).await?).await?;
        let (queue, queued) = channel(QUEUE);
        let waiting = Waiting::default();
        let calls = Arc::clone(&waiting);
        tokio::spawn(write(queued, outgoing, move |_| locked(&calls, |calls| calls.len()) > 1));
        tokio::spawn(read(incoming, Arc::clone(&waiting)));
        Ok(Self { waiting, queue, wire: PhantomData })
    }

    async fn echo(&self, payload: &[u8]) -> Result<Bytes> {
        let (answer, answered) = oneshot::channel();
        let call = locked(&self.waiting, |waiting| waiting.insert(answer));
        self.queue.send(message(call as u64, payload)).await?;
        Ok(answered.await?)
    }
}

/// Hands answers to those who wait for them.
async fn read(mut incoming: impl Incoming, waiting: Waiting) -> Result<()> {
    while let Some(message) = incoming.next().await {
        let mut message = message?;
        let call = usize::try_from(message.try_get_u64()?)?;
        let answer = locked(&waiting, |waiting| waiting.try_remove(call)).context("somebody waits")?;
        answer.send(message).ok();
    }
    Ok(())
}

/// The server's side of a connection.
async fn serve<W: Wire>(stream: TcpStream) -> Result<()> {
    let (outgoing, mut incoming) = W::accept(stream).await?;
    let (queue, queued) = channel(QUEUE);
    let running = Arc::new(AtomicUsize::new(0));
    let others = Arc::clone(&running);
    tokio::spawn(write(queued, outgoing, move |queued| queued + others.load(Ordering::Relaxed) > 1));
    while let Some(message) = incoming.next().await {
        let mut request = message?;
        let call = request.try_get_u64()?;
        let (queue, running) = (queue.clone(), Arc::clone(&running));
        running.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(async move {
            let answer = echo(request).await;
            running.fetch_sub(1, Ordering::Relaxed);
            queue.send(self::message(call, &answer)).await.ok();
        });
    }
    Ok(())
}

/// The handler.
#[expect(clippy::unused_async, reason = "as a handler is")]
async fn echo(payload: Bytes) -> Bytes {
    payload
}

fn message(call: u64, payload: &[u8]) -> Bytes {
    let mut message = BytesMut::with_capacity(size_of_val(&call) + payload.len());
    message.put_u64(call);
    message.put(payload);
    message.freeze()
}

//! What carries the messages of the multiplexers that are written by hand.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use anyhow::Result;
use bytes::{Bytes, BytesMut};
use futures_util::{Sink, SinkExt, Stream, StreamExt, TryStreamExt, future};
use grid::Io;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::Receiver;
use tokio::task::yield_now;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, accept_async_with_config, client_async_with_config};
use tokio_util::codec::{FramedRead, FramedWrite, LengthDelimitedCodec};

/// A way to send messages over a byte stream.
pub(crate) trait Wire: Send + Sync + 'static {
    fn accept(stream: TcpStream) -> impl Future<Output = Result<(impl Outgoing, impl Incoming)>> + Send;

    fn connect(stream: TcpStream) -> impl Future<Output = Result<(impl Outgoing, impl Incoming)>> + Send;
}

/// Where messages go.
pub(crate) trait Outgoing: Sink<Bytes, Error = io::Error> + Send + Unpin + 'static {}

impl<S: Sink<Bytes, Error = io::Error> + Send + Unpin + 'static> Outgoing for S {}

/// Where messages come from.
pub(crate) trait Incoming: Stream<Item = io::Result<Bytes>> + Send + Unpin + 'static {}

impl<S: Stream<Item = io::Result<Bytes>> + Send + Unpin + 'static> Incoming for S {}

/// Listens, and serves each stream that comes in a task of its own.
pub(crate) async fn listen<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> Result<SocketAddr>
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(serve(stream));
        }
        #[expect(unreachable_code, reason = "gives the errors above a type")]
        anyhow::Ok(())
    });
    Ok(address)
}

/// Connects to what listens.
pub(crate) async fn dial(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Writes what is queued, all of it at once. If this is `crowded`, so that more messages than these are about to come, it
/// lets those who make them go first.
pub(crate) async fn write(
    mut queue: Receiver<Bytes>,
    mut outgoing: impl Outgoing,
    crowded: impl Fn(usize) -> bool,
) -> Result<()> {
    let mut messages = Vec::with_capacity(BATCH);
    while queue.recv_many(&mut messages, BATCH).await > 0 {
        if crowded(messages.len()) {
            yield_now().await;
        }
        loop {
            for message in messages.drain(..) {
                outgoing.feed(message).await?;
            }
            if queue.is_empty() {
                break;
            }
            queue.recv_many(&mut messages, BATCH).await;
        }
        outgoing.flush().await?;
    }
    Ok(())
}

/// What is done with what is behind a lock.
pub(crate) fn locked<T, R>(mutex: &Mutex<T>, with: impl FnOnce(&mut T) -> R) -> R {
    with(&mut mutex.lock().unwrap_or_else(PoisonError::into_inner))
}

/// A message is one of a WebSocket.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WebSocket;

impl Wire for WebSocket {
    async fn accept(stream: TcpStream) -> Result<(impl Outgoing, impl Incoming)> {
        Ok(halves(accept(stream).await?))
    }

    async fn connect(stream: TcpStream) -> Result<(impl Outgoing, impl Incoming)> {
        Ok(halves(connect(stream).await?))
    }
}

/// The server's side of a WebSocket.
pub(crate) async fn accept<S: Io>(stream: S) -> Result<WebSocketStream<S>> {
    Ok(accept_async_with_config(stream, Some(config())).await?)
}

/// The client's side of a WebSocket.
pub(crate) async fn connect<S: Io>(stream: S) -> Result<WebSocketStream<S>> {
    Ok(client_async_with_config("ws://127.0.0.1/", stream, Some(config())).await?.0)
}

/// Before each read it fills with zeros as much as it may read, by default 128 KiB. With less, a message to and fro takes
/// half as long, and many at once take no longer.
fn config() -> WebSocketConfig {
    WebSocketConfig::default().read_buffer_size(READ_BYTES)
}

/// Its two halves, which a lock holds together.
pub(crate) fn halves<S: Io>(socket: WebSocketStream<S>) -> (impl Outgoing, impl Incoming) {
    let (outgoing, incoming) = socket.split();
    let outgoing = outgoing.sink_map_err(failed).with(|bytes| future::ok(Message::Binary(bytes)));
    (outgoing, incoming.map_ok(Message::into_data).map_err(failed))
}

fn failed(error: tungstenite::Error) -> io::Error {
    io::Error::other(error)
}

/// A message is behind its length, in four bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tcp;

impl Wire for Tcp {
    async fn accept(stream: TcpStream) -> Result<(impl Outgoing, impl Incoming)> {
        let (incoming, outgoing) = stream.into_split();
        let mut outgoing = FramedWrite::new(outgoing, LengthDelimitedCodec::new());
        outgoing.set_backpressure_boundary(BUFFER_BYTES);
        let incoming = FramedRead::with_capacity(incoming, LengthDelimitedCodec::new(), BUFFER_BYTES);
        Ok((outgoing, incoming.map_ok(BytesMut::freeze)))
    }

    async fn connect(stream: TcpStream) -> Result<(impl Outgoing, impl Incoming)> {
        Self::accept(stream).await
    }
}

/// Messages that are queued before those who make more have to wait.
pub(crate) const QUEUE: usize = 1024;
/// Messages that are taken from the queue at once.
const BATCH: usize = 256;
/// What a WebSocket reads at once.
const READ_BYTES: usize = 32 * 1024;
/// What is gathered before it is written, as with a WebSocket, and what is read at once.
const BUFFER_BYTES: usize = 128 * 1024;

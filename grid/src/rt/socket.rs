//! The byte stream under a link, and its messages.

use std::fmt;
use std::io::{self, Error, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_util::io::poll_read_buf;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::counts::Counts;
use super::hello::HANDSHAKE_BYTES_MAX;
use super::websocket::{Inbox, Masks, Received, put_frame};
use crate::error::LinkError;
use crate::tls::is_distrust;

/// A byte stream to another node, already connected: TCP, TLS, a Unix socket, a pipe in memory.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Io for T {}

/// Any byte stream.
pub type BoxIo = Box<dyn Io>;

/// A counted byte stream, of which little is read before the handshake is over.
pub(crate) struct Socket {
    io: BoxIo,
    counts: Arc<Counts>,
    /// Bytes that may still be read in the handshake.
    budget: Option<usize>,
    writes: Writes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writes {
    Open,
    Shut,
}

impl Socket {
    /// `budget` bounds what is read until [`end_handshake`](Self::end_handshake).
    pub(crate) fn new(io: BoxIo, budget: usize) -> Self {
        Self { io, counts: Arc::default(), budget: Some(budget), writes: Writes::Open }
    }

    /// Says that nothing more will be sent, and throws away what still comes, until the other side has closed as well.
    ///
    /// A system answers bytes that nobody reads with a reset, and a reset takes along what was sent before it and not
    /// read yet.
    pub(crate) fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.writes == Writes::Open {
            if ready!(Pin::new(&mut self.io).poll_shutdown(cx)).is_err() {
                return Poll::Ready(());
            }
            self.writes = Writes::Shut;
        }
        for _ in 0..READS_PER_POLL {
            let mut bytes = [0; 4096];
            let mut bytes = ReadBuf::new(&mut bytes);
            if ready!(Pin::new(&mut *self).poll_read(cx, &mut bytes)).is_err() || bytes.filled().is_empty() {
                return Poll::Ready(());
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn on_written(&self, written: usize, wanted: usize) -> Poll<io::Result<usize>> {
        Counts::add(&self.counts.bytes_out, written);
        match written {
            0 if wanted > 0 => Poll::Ready(Err(ErrorKind::WriteZero.into())),
            _ => Poll::Ready(Ok(written)),
        }
    }

    fn end_handshake(&mut self, counts: &Arc<Counts>) {
        self.budget = None;
        counts.add_bytes_of(&self.counts);
        self.counts = Arc::clone(counts);
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.budget == Some(0) {
            return Poll::Ready(Err(Error::other("the handshake is too long")));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        let read = buf.filled().len() - before;
        Counts::add(&self.counts.bytes_in, read);
        if let Some(budget) = &mut self.budget {
            *budget = budget.saturating_sub(read);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write(cx, bytes))?;
        self.on_written(written, bytes.len())
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write_vectored(cx, bytes))?;
        self.on_written(written, bytes.iter().map(|part| part.len()).sum())
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// What is taken in a handshake is less than [`Limits::message_bytes_max`](crate::Limits::message_bytes_max), and is
/// not a setting.
fn too_long(error: LinkError) -> LinkError {
    match error {
        LinkError::LimitExceeded { max, .. } => {
            LinkError::Protocol(format!("a message of the handshake is longer than {max} bytes").into())
        }
        error => error,
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket").field("counts", &self.counts).finish_non_exhaustive()
    }
}

/// A socket after its upgrade: what is read are messages, what is written are frames that were put together elsewhere.
#[derive(Debug)]
pub(crate) struct WebSocket {
    pub(crate) socket: Socket,
    /// Whether this side masks.
    pub(crate) masks: Masks,
    inbox: Inbox,
    /// Once the handshake is over.
    message_bytes_max: usize,
}

impl WebSocket {
    /// `rest` was read behind the head of the upgrade.
    pub(crate) fn new(socket: Socket, masks: Masks, rest: &[u8], message_bytes_max: usize) -> Self {
        let theirs = match masks {
            Masks::Yes => Masks::No,
            Masks::No => Masks::Yes,
        };
        let inbox = Inbox::new(BytesMut::from(rest), theirs, message_bytes_max.min(HANDSHAKE_BYTES_MAX));
        Self { socket, masks, inbox, message_bytes_max }
    }

    /// From now on bytes are counted for this peer, and messages may be as large as any.
    pub(crate) fn end_handshake(&mut self, counts: &Arc<Counts>) {
        self.inbox.message_bytes_max = self.message_bytes_max;
        self.socket.end_handshake(counts);
    }

    /// The next message, of what was read or after one more read: with a part of a message only, it is
    /// [`Nothing`](Received::Nothing), as the rest may take long.
    pub(crate) fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Received, LinkError>> {
        if let Some(received) = self.inbox.next()? {
            return Poll::Ready(Ok(received));
        }
        self.inbox.reserve();
        let room = self.inbox.bytes.capacity() - self.inbox.bytes.len();
        let read = ready!(poll_read_buf(Pin::new(&mut self.socket), cx, &mut self.inbox.bytes));
        match read.map_err(|error| closed(&error))? {
            0 => return Poll::Ready(Err(LinkError::Closed("end of stream".into()))),
            read => self.inbox.on_read(read, room),
        }
        Poll::Ready(self.inbox.next().map(|received| received.unwrap_or(Received::Nothing)))
    }

    /// Gives back what memory is not in use just now.
    pub(crate) fn shrink(&mut self) {
        self.inbox.shrink();
    }

    /// The next message, in the handshake.
    pub(crate) async fn receive(&mut self) -> Result<Bytes, LinkError> {
        loop {
            let received = std::future::poll_fn(|cx| self.poll_receive(cx)).await;
            match received.map_err(too_long)? {
                Received::Message(message) => return Ok(message.bytes().clone()),
                Received::Ping(payload) => self.write(OpCode::Control(Control::Pong), &payload).await?,
                Received::Close(payload) => {
                    self.write(OpCode::Control(Control::Close), &payload).await?;
                    return Err(LinkError::Closed("the websocket was closed in the handshake".into()));
                }
                Received::Nothing => {}
            }
        }
    }

    /// Sends a message, in the handshake.
    pub(crate) async fn send(&mut self, message: &[u8]) -> Result<(), LinkError> {
        self.write(OpCode::Data(Data::Binary), message).await
    }

    async fn write(&mut self, opcode: OpCode, payload: &[u8]) -> Result<(), LinkError> {
        let mut out = Vec::new();
        put_frame(&mut out, opcode, self.masks, payload.len(), |out| out.extend_from_slice(payload));
        self.socket.write_all(&out).await.map_err(|error| closed(&error))?;
        self.socket.flush().await.map_err(|error| closed(&error))
    }
}

/// What an error of a stream means for its link.
pub(super) fn closed(error: &io::Error) -> LinkError {
    if is_distrust(error) {
        // In TLS 1.3 the side that dials is done before the other one has seen its certificate.
        return LinkError::Tls(format!("the peer: {error}").into());
    }
    match error.kind() {
        // TLS has a word for it that a process which is killed does not say.
        ErrorKind::UnexpectedEof => LinkError::Closed("end of stream".into()),
        _ => LinkError::Closed(error.to_string().into()),
    }
}

/// Reads before others have their turn.
const READS_PER_POLL: usize = 16;

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    /// A socket that is always ready, with a small message and the beginning of a large one.
    #[tokio::test]
    async fn a_read_that_brings_a_part_of_a_message_gives_others_their_turn() {
        const LARGE: usize = 1 << 20;
        let (near, mut far) = duplex(2 * LARGE);
        let mut ws = WebSocket::new(Socket::new(Box::new(near), usize::MAX), Masks::Yes, &[], 2 * LARGE);
        ws.end_handshake(&Arc::default());
        let mut bytes = Vec::new();
        for len in [5, LARGE] {
            put_frame(&mut bytes, OpCode::Data(Data::Binary), Masks::No, len, |out| out.resize(out.len() + len, 7));
        }
        far.write_all(&bytes).await.expect("there is room");
        let mut next = async || std::future::poll_fn(|cx| ws.poll_receive(cx)).await.expect("no violation");
        assert_eq!(next().await, Received::Message(Bytes::from_static(&[7; 5]).into()));
        let mut parts = 0;
        let large = loop {
            match next().await {
                Received::Nothing => parts += 1,
                received => break received,
            }
        };
        assert_eq!(large, Received::Message(Bytes::from(vec![7; LARGE]).into()));
        assert!(parts > 1, "{parts}");
    }
}

//! The byte stream under a WebSocket.

use std::fmt;
use std::io::{self, Error, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A byte stream to another node, already connected: TCP, TLS, a Unix socket, a pipe in memory.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Io for T {}

/// Any byte stream.
pub type BoxIo = Box<dyn Io>;

/// Bytes as they went over a byte stream.
#[derive(Debug, Default)]
pub(crate) struct ByteCounts {
    pub(crate) read: AtomicU64,
    pub(crate) written: AtomicU64,
}

/// A counted byte stream with two ways of writing.
///
/// During the handshake the WebSocket library reads and writes through it. After [`collect_writes`](Self::collect_writes)
/// the library still reads; what it wants to write (pongs, the answer to a close) is set aside, for the driver to put
/// between the messages that it writes itself.
pub(crate) struct Socket {
    io: BoxIo,
    counts: Arc<ByteCounts>,
    /// Bytes that may still be read before the handshake is over.
    read_budget: Option<usize>,
    set_aside: Option<Vec<u8>>,
}

impl Socket {
    /// `read_budget` bounds what is read until [`collect_writes`](Self::collect_writes).
    pub(crate) fn new(io: BoxIo, read_budget: usize) -> Self {
        Self { io, counts: Arc::default(), read_budget: Some(read_budget), set_aside: None }
    }

    pub(crate) fn counts(&self) -> Arc<ByteCounts> {
        Arc::clone(&self.counts)
    }

    /// The handshake is over.
    pub(crate) fn collect_writes(&mut self) {
        self.read_budget = None;
        self.set_aside = Some(Vec::new());
    }

    /// Moves what the library wants written behind `out`.
    ///
    /// # Errors
    /// The peer provokes more than it reads.
    pub(crate) fn take_set_aside(&mut self, out: &mut Vec<u8>) {
        if let Some(bytes) = &mut self.set_aside {
            out.append(bytes);
        }
    }

    /// Bytes that the library wants written.
    pub(crate) fn set_aside_len(&self) -> usize {
        self.set_aside.as_ref().map_or(0, Vec::len)
    }

    /// Writes past the library.
    pub(crate) fn poll_write_through(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = std::task::ready!(Pin::new(&mut self.io).poll_write(cx, bytes))?;
        self.counts.written.fetch_add(u64::try_from(written).unwrap_or(0), Ordering::Relaxed);
        match written {
            0 => Poll::Ready(Err(ErrorKind::WriteZero.into())),
            _ => Poll::Ready(Ok(written)),
        }
    }

    pub(crate) fn poll_flush_through(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.read_budget == Some(0) {
            return Poll::Ready(Err(Error::other("the handshake is too long")));
        }
        let before = buf.filled().len();
        std::task::ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        let read = buf.filled().len() - before;
        self.counts.read.fetch_add(u64::try_from(read).unwrap_or(0), Ordering::Relaxed);
        if let Some(budget) = &mut self.read_budget {
            *budget = budget.saturating_sub(read);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.set_aside {
            Some(aside) => {
                aside.extend_from_slice(bytes);
                Poll::Ready(Ok(bytes.len()))
            }
            None => self.poll_write_through(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.set_aside {
            Some(_) => Poll::Ready(Ok(())),
            None => self.poll_flush_through(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket").field("counts", &self.counts).finish_non_exhaustive()
    }
}

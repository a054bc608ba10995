//! The end of a simulated byte stream that a node holds, and the place where a node gets those that others have dialled.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::network::{Network, WireId};
use super::routes::Place;
use super::wire::Side;
use crate::transport::BoxIo;

pub(super) struct Socket {
    network: Arc<Network>,
    wire: WireId,
    side: Side,
}

impl Socket {
    pub(super) fn new(network: &Arc<Network>, wire: WireId, side: Side) -> Self {
        Self { network: Arc::clone(network), wire, side }
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = self.network.with(|state| state.poll_read(self.wire, self.side, cx, buf.remaining()));
        read.map_ok(|bytes| buf.put_slice(&bytes))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.network.with(|state| state.poll_write(self.wire, self.side, cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.network.with(|state| state.shut(self.wire, self.side)))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.network.with(|state| state.close(self.wire, self.side));
    }
}

/// Where a node listens, until it is dropped.
pub(crate) struct Listener {
    network: Arc<Network>,
    place: Place,
}

impl Listener {
    /// # Errors
    /// The node listens already.
    pub(super) fn new(network: &Arc<Network>, place: Place) -> io::Result<Self> {
        network.with(|state| state.listen(place))?;
        Ok(Self { network: Arc::clone(network), place })
    }

    pub(crate) async fn accept(&self) -> BoxIo {
        let wire = poll_fn(|cx| self.network.with(|state| state.poll_accept(self.place, cx))).await;
        Box::new(Socket::new(&self.network, wire, Side::Dialled))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.network.with(|state| state.stop_listening(self.place));
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("place", &self.place).finish_non_exhaustive()
    }
}

//! What groups beside streams ask of a peer: calls that are echoed, streams that stay open, more connections.

use std::future::Future;

use anyhow::{Result, ensure};
use bytes::Bytes;

use crate::item::Incoming;

/// A connection of a client to a server that echoes, both in this process. A clone is the same connection.
pub(crate) trait Calls: Clone + Send + Sync + 'static {
    /// Sends a payload and gets it back.
    fn echo(&self, payload: Bytes) -> impl Future<Output = Result<Bytes>> + Send;

    /// Another connection to the same server. It closes when its last clone is dropped.
    fn another(&self) -> impl Future<Output = Result<Self>> + Send;
}

/// A connection on which streams can stay open.
pub(crate) trait Holds: Calls {
    /// Begins a stream in which the server sends one item, and nothing more for as long as it is open.
    fn hold(&self) -> impl Future<Output = Result<impl Incoming + 'static>> + Send;
}

/// A connection that carries bulk.
pub(crate) trait Bulk: Calls {
    /// Begins a stream in which the server sends items of so many bytes, for as long as it is open.
    fn download(&self, item_bytes: u64) -> impl Future<Output = Result<impl Incoming + 'static>> + Send;

    /// Sends the items to the server, in one stream.
    fn upload(&self, items: impl Iterator<Item = Bytes> + Send + 'static) -> impl Future<Output = Result<()>> + Send;
}

/// One echo, checked.
pub(crate) async fn echo(peer: &impl Calls, payload: &Bytes) -> Result<()> {
    let answer = peer.echo(payload.clone()).await?;
    ensure!(answer == payload, "an echo of {} bytes is not what was sent", answer.len());
    Ok(())
}

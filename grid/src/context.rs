//! What a handler can know of the call that it serves.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::connection::Connection;
use crate::description::Codec;
use crate::error::UnknownPeer;
use crate::half::Half;
use crate::rt::{Mesh, Peer, Request};
use crate::wire::HandlerId;

/// The call that a handler serves: who calls, how long is left, over which subroute.
///
/// It is not sent: a method that takes `cx: &Context` is called without it.
#[derive(Clone)]
pub struct Context {
    peer: Arc<Peer>,
    mesh: Arc<Mesh>,
    handler: HandlerId,
    subroute: Option<Arc<str>>,
    deadline: Option<Instant>,
    metadata: Vec<(Box<str>, Box<str>)>,
}

impl Context {
    /// Takes a request apart.
    pub(crate) fn new(request: Request) -> (Self, bytes::Bytes, Option<Half>) {
        let Request { payload, peer, mesh, handler, subroute, deadline, metadata, stream, watch } = request;
        let context = Self { peer, mesh, handler, subroute, deadline, metadata };
        let connection = context.connection();
        let half = stream.map(|(link, stream)| Half { connection, link, stream, codec: Codec::default(), watch });
        (context, payload, half)
    }

    /// The name of the node that calls; `guest://..` for a guest, `guest://billing.example/..` for one that has shown a
    /// certificate for that host.
    ///
    /// Without certificates (feature `tls`, `Tls::require_identity`) it is what the caller says of itself, as far as
    /// [`shared_secret`](crate::ManagerBuilder::shared_secret) lets it.
    #[must_use]
    pub fn caller(&self) -> &str {
        &self.peer.name
    }

    /// A connection to the node that calls, to call it back.
    #[must_use]
    pub fn connection(&self) -> Connection {
        Connection::new(Arc::clone(&self.peer))
    }

    /// The connection to a peer of this node, to ask it for what the caller asked: as
    /// [`Manager::connection`](crate::Manager::connection), from inside a handler.
    ///
    /// # Errors
    /// It is not among the peers that the node was built with.
    pub fn peer(&self, name: &str) -> Result<Connection, UnknownPeer> {
        Connection::to_peer(&self.mesh, name, &self.peer.shared.settings.name)
    }

    /// When the caller stops waiting. The handler is dropped then, unless it is detached.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// How long the caller still waits.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// The subroute under which the handler was called.
    #[must_use]
    pub fn subroute(&self) -> Option<&str> {
        self.subroute.as_deref()
    }

    /// The value that the caller gave by [`Call::metadata`](crate::Call::metadata) under this name, if it gave one.
    #[must_use]
    pub fn metadata(&self, name: &str) -> Option<&str> {
        self.metadata.iter().find(|(known, _)| **known == *name).map(|(_, value)| &**value)
    }

    /// The id of the handler.
    #[must_use]
    pub fn handler_id(&self) -> HandlerId {
        self.handler
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("caller", &self.caller())
            .field("handler", &self.handler)
            .field("subroute", &self.subroute)
            .field("remaining", &self.remaining())
            .finish_non_exhaustive()
    }
}

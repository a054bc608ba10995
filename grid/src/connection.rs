//! The lasting relation to another node, as its users see it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use futures_util::stream;
use tokio::task::coop::consume_budget;

use crate::call::Call;
use crate::error::{LinkError, RemoteError, ShutDown, UnknownPeer};
use crate::inbound::Inbound;
use crate::limits::LimitHits;
use crate::outbound::Outbound;
use crate::rt::{Guard, Line, LinkRef, LinkState, Mesh, Peer};
use crate::windows::Windows;
use crate::wire::{HandlerId, Subroute};

/// A cheap handle to the connection with another node. It survives reconnects; clones are the same connection.
///
/// Generated clients are made from it; [`single`](Self::single) and [`stream`](Self::stream) call handlers by id.
///
/// A connection of [`grid::connect`](crate::connect) ends when its last handle is dropped. One of a
/// [`Manager`](crate::Manager) lives as long as the node.
///
/// Tasks on different threads that make calls at a high rate had better have a clone each, or a clone of a client: what a
/// call needs of its handle is then in no other thread's way.
pub struct Connection {
    handle: Arc<Handle>,
}

/// Counted once per handle of the user, and once per call made through it.
struct Handle {
    peer: Arc<Peer>,
    subroute: Option<Arc<Subroute>>,
    guest: Option<Arc<Guard>>,
    line: Line,
}

impl Clone for Connection {
    /// Shares nothing that calls write to.
    fn clone(&self) -> Self {
        let Handle { peer, subroute, guest, line: _ } = &*self.handle;
        Self::from_parts(Arc::clone(peer), subroute.clone(), guest.clone())
    }
}

impl Connection {
    pub(crate) fn new(peer: Arc<Peer>) -> Self {
        Self::from_parts(peer, None, None)
    }

    fn from_parts(peer: Arc<Peer>, subroute: Option<Arc<Subroute>>, guest: Option<Arc<Guard>>) -> Self {
        Self { handle: Arc::new(Handle { peer, subroute, guest, line: Line::default() }) }
    }

    /// The same handle, for a call.
    pub(crate) fn share(&self) -> Self {
        Self { handle: Arc::clone(&self.handle) }
    }

    pub(crate) fn to_peer(mesh: &Mesh, name: &str, local: &Arc<str>) -> Result<Self, UnknownPeer> {
        match mesh.peers.get(name) {
            Some(peer) => Ok(Self::new(Arc::clone(peer))),
            None => Err(UnknownPeer { name: name.into(), local: Arc::clone(local) }),
        }
    }

    pub(crate) fn of_guest(peer: Arc<Peer>, guest: Arc<Guard>) -> Self {
        Self::from_parts(peer, None, Some(guest))
    }

    /// The name of the node at the other end.
    #[must_use]
    pub fn remote(&self) -> &str {
        &self.peer().name
    }

    /// The name of the node at this end.
    #[must_use]
    pub fn local(&self) -> &str {
        &self.peer().shared.settings.name
    }

    /// The same connection, for calls to what is served under this subroute
    /// ([`ManagerBuilder::serve_at`](crate::ManagerBuilder::serve_at)).
    ///
    /// Subroutes nest: `subroute("a").subroute("b")` is `subroute("a/b")`. Parts are taken as they are; `a/` is not `a`.
    #[must_use]
    pub fn subroute(&self, part: &str) -> Self {
        let Handle { peer, subroute, guest, line: _ } = &*self.handle;
        let subroute = match subroute {
            Some(outer) => outer.join(part),
            None => Subroute::new(part),
        };
        Self::from_parts(Arc::clone(peer), Some(Arc::new(subroute)), guest.clone())
    }

    /// Calls a handler by its id, with bytes for arguments and answer.
    ///
    /// For handlers of v1 peers and what the macro does not cover. The payload is copied once.
    pub fn single(&self, handler: impl Into<HandlerId>, payload: impl AsRef<[u8]>) -> Call<Bytes, RemoteError> {
        Call::raw(self.share(), handler.into(), payload.as_ref())
    }

    /// Opens a stream to a handler by its id, with bytes for the opening and the items. The handler must be served with
    /// the same [`Windows`] if the peer is a v1 one.
    pub fn stream(
        &self,
        handler: impl Into<HandlerId>,
        windows: impl Into<Windows>,
        payload: impl AsRef<[u8]>,
    ) -> Call<(Outbound<Bytes>, Inbound<Bytes, RemoteError>), RemoteError> {
        Call::raw_stream(self.share(), handler.into(), windows.into(), payload.as_ref())
    }

    /// Whether there is a link right now.
    #[must_use]
    pub fn state(&self) -> State {
        State::of(&self.peer().state())
    }

    /// Waits until there is a link.
    ///
    /// # Errors
    /// This node is shut down, before or while it waits.
    ///
    /// # Cancel safety
    /// Waiting again loses nothing.
    pub async fn ready(&self) -> Result<(), ShutDown> {
        // Who waits in a loop for what has come, or will not come, gives others their turn now and then.
        consume_budget().await;
        self.peer().ready().await
    }

    /// The state now, and then each change of it, until the node is shut down.
    ///
    /// Who reads slowly sees the latest state only; but a link that was lost and found in the meantime shows as a
    /// second [`State::Connected`].
    pub fn changes(&self) -> impl Stream<Item = State> + Send + Unpin + use<> {
        Box::pin(stream::unfold(Some(self.peer().watch()), async |states| {
            let mut states = states?;
            let state = State::of(&states.next().await?);
            let next = (state != State::Closed).then_some(states);
            Some((state, next))
        }))
    }

    /// What the connection has carried so far, over all its links.
    #[must_use]
    pub fn stats(&self) -> ConnectionStats {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let counts = &self.peer().counts;
        let state = self.peer().state();
        let link = state.link();
        ConnectionStats {
            bytes_in: read(&counts.bytes_in),
            bytes_out: read(&counts.bytes_out),
            messages_in: read(&counts.messages_in),
            messages_out: read(&counts.messages_out),
            calls_out: link.map_or(0, |link| link.table.in_flight()),
            calls_in: link.map_or(0, |link| link.running.len()),
            reconnects: read(&counts.links).saturating_sub(1),
            unread_bytes: link.map_or(0, |link| link.inflow.bytes()),
            queued_bytes: link.map_or(0, |link| link.outbox.queued_bytes()),
            last_ping: counts.last_ping(),
            limit_hits: counts.hits.read(),
        }
    }

    pub(crate) fn peer(&self) -> &Arc<Peer> {
        &self.handle.peer
    }

    pub(crate) fn under(&self) -> Option<&Subroute> {
        self.handle.subroute.as_deref()
    }

    /// The current link, if there is one that takes calls.
    pub(crate) fn link(&self) -> Option<LinkRef> {
        self.handle.line.link(&self.handle.peer)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("local", &self.local())
            .field("remote", &self.remote())
            .field("subroute", &self.under().map(Subroute::route))
            .field("state", &self.state())
            .field("guest", &self.handle.guest.is_some())
            .finish()
    }
}

/// Whether a connection can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// There is no link. Calls end with [`CallError::Disconnected`](crate::CallError::Disconnected) at once.
    ///
    /// With the reason why the last link ended or the last attempt failed; none before the first attempt and, on the
    /// side that waits to be dialled, none before its first link.
    Disconnected(Option<LinkError>),
    /// There is a link.
    Connected,
    /// There is a link, over which running calls finish; the peer is about to leave, and new calls are refused.
    Draining,
    /// This node is shut down.
    Closed,
}

impl State {
    fn of(state: &LinkState) -> Self {
        match state {
            LinkState::Down(why) => Self::Disconnected(why.clone()),
            LinkState::Up(_) => Self::Connected,
            LinkState::Draining(_) => Self::Draining,
            LinkState::Closed => Self::Closed,
        }
    }
}

/// What a connection has carried.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionStats {
    /// Bytes read from the network, HTTP and WebSocket headers included; with TLS, those inside it. On a router of yours
    /// (feature `axum`) the HTTP part is read and written by its server, and not counted here.
    pub bytes_in: u64,
    /// Bytes written to the network, HTTP and WebSocket headers included; with TLS, those inside it.
    pub bytes_out: u64,
    /// Messages received. One message carries one frame or many.
    pub messages_in: u64,
    /// Messages sent.
    pub messages_out: u64,
    /// Calls of this side that wait for their end, on the current link.
    pub calls_out: usize,
    /// Calls of the other side that run here, on the current link.
    pub calls_in: usize,
    /// Bytes of items of streams that were received on the current link and not read yet, and 64 for each.
    pub unread_bytes: usize,
    /// Bytes that wait to be written on the current link.
    pub queued_bytes: usize,
    /// Links after the first one.
    pub reconnects: u64,
    /// The last measured round trip of a ping.
    pub last_ping: Option<Duration>,
    /// How often each limit was reached, on this side.
    pub limit_hits: LimitHits,
}

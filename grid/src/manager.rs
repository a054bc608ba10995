//! A node of the mesh.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::builder::ManagerBuilder;
use crate::connection::Connection;
use crate::error::UnknownPeer;
use crate::limits::LimitHits;
use crate::rt::{BoxIo, Guard, Io, Node};

/// A node: it keeps a connection to each of its peers, and serves what it was built with.
///
/// Clones are the same node; a service must not hold one, as the node holds its services and would never end (see
/// [`Context::peer`](crate::Context::peer)). When the last one is dropped the node ends at once, and everything with it;
/// [`shutdown`](Self::shutdown) lets running calls finish first.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use grid::Manager;
///
/// let node = Manager::builder("http://10.0.0.1:9000")
///     .peers(["http://10.0.0.2:9000", "http://10.0.0.3:9000"])
///     .shared_secret("not in the code, please")
///     .start()
///     .await?;
/// node.connection("http://10.0.0.2:9000")?.ready().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Manager {
    guard: Arc<Guard>,
}

impl Manager {
    /// Begins a node of this name: a URL `http://host:port`, under which the peers know it.
    pub fn builder(name: impl Into<Arc<str>>) -> ManagerBuilder {
        ManagerBuilder::new(name.into())
    }

    pub(crate) fn new(node: Node) -> Self {
        Self { guard: Arc::new(Guard(Arc::new(node))) }
    }

    /// The name of this node.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.node().shared.settings.name
    }

    /// The connection to a peer, whether or not there is a link right now.
    ///
    /// # Errors
    /// It is not among the peers that the node was built with.
    pub fn connection(&self, peer: &str) -> Result<Connection, UnknownPeer> {
        let node = self.node();
        Connection::to_peer(&node.mesh, peer, &node.shared.settings.name)
    }

    /// The connections to all peers, in the order of their names.
    pub fn connections(&self) -> impl Iterator<Item = Connection> + '_ {
        self.node().mesh.peers.values().map(|peer| Connection::new(Arc::clone(peer)))
    }

    /// Serves one incoming byte stream, from its HTTP request on, until it ends: for streams that the node did not
    /// accept itself, such as those of a Unix socket or of a [`Connector`](crate::Connector) of your own.
    ///
    /// # Cancel safety
    /// Dropped, it closes the stream.
    pub async fn accept(&self, io: impl Io) {
        let io: BoxIo = Box::new(io);
        Arc::clone(self.node()).accept(io).await;
    }

    /// Ends the node: lets no new call in, tells the peers, waits for running calls for up to
    /// [`Timeouts::drain`](crate::Timeouts::drain), writes what is queued and closes the links.
    ///
    /// It takes at most that long, [`Timeouts::write`](crate::Timeouts::write) for what is queued, as long as the drain (and
    /// a second at least) for a handler that blocks a link, and as long once more for detached handlers. This node begins
    /// no calls any more outside of handlers; those that run are waited for, streams that it reads included: drop endless
    /// ones first, or they are cut at the end of the drain. Asking twice is harmless; both wait for the end. A handler that asks is itself waited for: let it spawn a
    /// task.
    ///
    /// # Cancel safety
    /// Dropped before its end, the shutdown goes on for as long as the node has a handle.
    pub async fn shutdown(&self) {
        Arc::clone(self.node()).shutdown().await;
    }

    /// Waits until the node is shut down, by whomever: for a program that has nothing else to do.
    pub async fn closed(&self) {
        self.node().shared.closing.cancelled().await;
    }

    /// What the node holds right now, and how often its limits were reached.
    #[must_use]
    pub fn stats(&self) -> NodeStats {
        let node = self.node();
        NodeStats {
            guests: node.guests_held(),
            handshakes: node.handshakes.in_progress(),
            turned_away: node.shared.turned_away.load(Ordering::Relaxed),
            calls_in: node.links().iter().map(|link| link.running.len()).sum(),
            limit_hits: node.shared.hits.read(),
        }
    }

    pub(crate) fn node(&self) -> &Arc<Node> {
        &self.guard.0
    }
}

/// What a node holds, over all its connections: see [`Manager::stats`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeStats {
    /// Guests that are connected, or whose connection somebody holds.
    pub guests: usize,
    /// Handshakes in progress of whoever connects.
    pub handshakes: usize,
    /// Connections that were not let in: of unknown names, with bad tokens or certificates, too slow, or broken off in the
    /// handshake.
    pub turned_away: u64,
    /// Calls of all other nodes that run here.
    pub calls_in: usize,
    /// How often each limit was reached, by all peers and guests there ever were.
    pub limit_hits: LimitHits,
}

impl fmt::Debug for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manager").field("name", &self.name()).field("peers", &self.node().mesh.peers.keys()).finish()
    }
}

//! Nodes on loopback, each at a port of its own that the system chose.

use std::net::TcpListener;
use std::time::Duration;

use grid::{Manager, ManagerBuilder};

/// A place for a node: a name, and the bound listener that goes with it.
#[derive(Debug)]
pub struct Place {
    pub name: String,
    pub listener: TcpListener,
}

impl Place {
    /// A port of loopback that nobody else has.
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let name = format!("http://{}", listener.local_addr().expect("it is bound"));
        Self { name, listener }
    }

    /// A builder for a node at this place, with short pauses between its attempts to connect.
    pub fn builder(&self) -> ManagerBuilder {
        let listener = self.listener.try_clone().expect("a descriptor is free");
        quick(Manager::builder(self.name.clone())).listener(listener)
    }
}

impl Default for Place {
    fn default() -> Self {
        Self::new()
    }
}

/// Attempts to connect a few milliseconds apart.
pub fn quick(builder: ManagerBuilder) -> ManagerBuilder {
    builder.timeouts(|timeouts| {
        timeouts.reconnect_min = Duration::from_millis(5);
        timeouts.reconnect_max = Duration::from_millis(15);
    })
}

/// Times that notice within [`NOTICED`] that a peer is gone, for tests with real time. Long enough that a process which a
/// busy machine lets wait is not taken for dead every time.
pub fn sharp(builder: ManagerBuilder) -> ManagerBuilder {
    quick(builder).timeouts(|timeouts| {
        timeouts.ping_interval = Duration::from_millis(500);
        timeouts.dead_after = Duration::from_secs(2);
        timeouts.write = Duration::from_secs(1);
        timeouts.handshake = Duration::from_secs(1);
    })
}

/// A peer that is gone right after a pong is dead at the second tick of pings after `dead_after`.
pub const NOTICED: Duration = Duration::from_secs(3);

/// Two nodes that are connected, each with what it serves.
pub async fn pair(
    left: impl FnOnce(ManagerBuilder) -> ManagerBuilder,
    right: impl FnOnce(ManagerBuilder) -> ManagerBuilder,
) -> (Manager, Manager) {
    let (a, b) = (Place::new(), Place::new());
    let left = left(a.builder().peers([b.name.clone()])).start().await.expect("the left node starts");
    let right = right(b.builder().peers([a.name.clone()])).start().await.expect("the right node starts");
    left.connection(&b.name).expect("a peer").ready().await.expect("not shut down");
    right.connection(&a.name).expect("a peer").ready().await.expect("not shut down");
    (left, right)
}

/// The connection of a node that has one peer.
pub fn only(node: &Manager) -> grid::Connection {
    node.connections().next().expect("the node has a peer")
}

/// The output of a future that must end in a time in which a busy machine does it easily.
///
/// # Panics
/// It does not.
pub async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("it ends within a minute")
}

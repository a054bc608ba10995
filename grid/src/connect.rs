//! Building the connection of a guest.

use std::collections::BTreeSet;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;

use crate::builder::common_settings;
use crate::common::Common;
use crate::connection::Connection;
use crate::context::Context;
use crate::error::{ConnectError, RemoteError};
use crate::handler::{Service, register, register_raw, register_raw_stream};
use crate::inbound::Inbound;
use crate::limits::{Limits, Timeouts};
use crate::middleware::Middleware;
use crate::outbound::Outbound;
use crate::proto::GUEST;
use crate::rt::{Attached, Guard, Guests, Node, Peer, dial_once, keep_connected};
#[cfg(feature = "tls")]
use crate::tls::Tls;
use crate::transport::Connector;
use crate::windows::Windows;
use crate::wire::HandlerId;

/// Connects to a node from outside of its mesh: a client, a job, a test. Await it to get the [`Connection`].
///
/// The node must [`allow_guests`](crate::ManagerBuilder::allow_guests). A guest always dials, reconnects like a peer,
/// and can serve services too, so that the node can call it back through
/// [`Context::connection`](crate::Context::connection).
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let connection = grid::connect("http://10.0.0.1:9000").shared_secret("the secret of the mesh").await?;
/// let answer = connection.single(10_u8, "hello").await?;
/// # Ok(())
/// # }
/// ```
pub fn connect(url: impl Into<Arc<str>>) -> Connect {
    let guest = format!("{GUEST}{:032x}", fastrand::u128(..));
    Connect { common: Common::new(guest.into()), url: url.into() }
}

/// Builds the connection of a guest: see [`connect`].
#[must_use = "a guest connects when it is awaited"]
pub struct Connect {
    common: Common,
    url: Arc<str>,
}

impl Connect {
    /// Takes the clock and the network of a simulated node.
    #[cfg(feature = "sim")]
    pub(crate) fn simulated(mut self, node: &crate::sim::Node) -> Self {
        self.common.simulate(node);
        self
    }

    common_settings!();

    async fn connect(self) -> Result<Connection, ConnectError> {
        let remotes = BTreeSet::from([Arc::clone(&self.url)]);
        let (settings, registry) = self.common.settings(Guests::Refused, &remotes)?;
        let guard = Arc::new(Guard(Arc::new(Node::new(settings, registry, remotes))));
        let node = &guard.0;
        let peer: Arc<Peer> = node.peer(&self.url).expect("the one peer that the node was built with");
        let driver = dial_once(&peer, &node.mesh).await?;
        let first = Attached::new(Arc::clone(&peer), driver);
        node.shared.tasks.spawn(keep_connected(first, Arc::clone(&node.mesh)));
        Ok(Connection::of_guest(peer, guard))
    }
}

impl IntoFuture for Connect {
    type Output = Result<Connection, ConnectError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    /// Connects, or fails after one attempt; later losses of the link are mended in the background for as long as a
    /// handle to the connection exists.
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.connect())
    }
}

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect").field("url", &self.url).finish_non_exhaustive()
    }
}

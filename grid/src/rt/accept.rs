//! Taking connections in.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::dial::Attached;
use super::handshakes::Handshake;
use super::hello;
use super::log_once::{Notice, Outage, shown};
use super::node::Node;
use super::secure;
use super::socket::{BoxIo, Socket, WebSocket};
use super::upgrade;
use crate::error::LinkError;
use crate::transport::Listener;

impl Node {
    /// Takes connections from a listener until the node ends.
    pub(crate) async fn accept_forever(self: Arc<Self>, listener: Listener) {
        let closing = self.shared.closing.clone();
        let mut outage = Outage::default();
        let accepting = async {
            loop {
                match listener.accept().await {
                    Ok((io, address)) => {
                        let handshake = self.handshakes.begin().await;
                        let stranger = Stranger { address, ..Stranger::default() };
                        self.shared.tasks.spawn(Arc::clone(&self).serve(io, stranger, handshake));
                    }
                    Err(error) => {
                        // Most likely out of file descriptors; those of others must close first.
                        if outage.is_news(&error.to_string(), Instant::now()) {
                            tracing::warn!(target: "grid::link", %error, "cannot accept connections");
                        }
                        sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        };
        closing.run_until_cancelled(accepting).await;
    }

    /// Serves one byte stream, from its HTTP request on, until it ends.
    pub(crate) async fn accept(self: Arc<Self>, io: BoxIo) {
        let handshake = self.handshakes.begin().await;
        self.serve(io, Stranger::default(), handshake).await;
    }

    async fn serve(self: Arc<Self>, io: BoxIo, stranger: Stranger, handshake: Handshake) {
        let accepted = async {
            let (io, shown) = secure::accept(io, &self.shared.settings).await?;
            let socket = Socket::new(io, hello::HANDSHAKE_BYTES_MAX);
            let ws = upgrade::accept(socket, &self.shared.settings).await?;
            hello::accept(ws, &self, &shown, &stranger).await
        };
        let accepted = self.in_time(accepted, &handshake).await;
        drop(handshake);
        self.drive_accepted(accepted, &stranger).await;
    }

    /// Serves a WebSocket whose HTTP part somebody else does.
    #[cfg(feature = "axum")]
    pub(crate) async fn accept_upgraded<E: std::fmt::Display>(
        self: Arc<Self>,
        upgraded: impl Future<Output = Result<BoxIo, E>>,
        handshake: Handshake,
    ) {
        use super::secure::Shown;
        use super::websocket::Masks;

        let stranger = Stranger::default();
        let accepted = async {
            let io = upgraded.await.map_err(|error| LinkError::Closed(error.to_string().into()))?;
            let socket = Socket::new(io, hello::HANDSHAKE_BYTES_MAX);
            let bytes_max = self.shared.settings.limits.message_bytes_max;
            let ws = WebSocket::new(socket, Masks::No, &[], bytes_max);
            hello::accept(ws, &self, &Shown::NoTls, &stranger).await
        };
        let accepted = self.in_time(accepted, &handshake).await;
        drop(handshake);
        self.drive_accepted(accepted, &stranger).await;
    }

    async fn in_time(
        &self,
        accepted: impl Future<Output = Result<Accepted, LinkError>>,
        handshake: &Handshake,
    ) -> Result<Accepted, LinkError> {
        let limit = self.shared.settings.timeouts.handshake;
        let in_time = timeout(limit, handshake.run(accepted));
        let in_time = async { in_time.await.ok().flatten().unwrap_or(Err(LinkError::HandshakeTimeout)) };
        self.shared.closing.run_until_cancelled(in_time).await.unwrap_or(Err(LinkError::ShutDown))
    }

    async fn drive_accepted(&self, accepted: Result<Accepted, LinkError>, stranger: &Stranger) {
        match accepted {
            Ok((ws, link, peer)) => {
                let driver = hello::driver(ws, link, &peer, &self.mesh);
                Attached::new(peer, driver).drive().await;
            }
            Err(why) => self.turn_away(&why, stranger),
        }
    }

    /// Tells of a connection that was not let in, and counts it.
    pub(crate) fn turn_away(&self, why: &LinkError, stranger: &Stranger) {
        if *why == LinkError::ShutDown {
            return;
        }
        self.shared.turned_away.fetch_add(1, Ordering::Relaxed);
        // What shuts a peer out is told also while others are turned away for the same.
        let peer = stranger.name.get().filter(|name| self.mesh.peers.contains_key(&***name));
        let sort = format!("{} {}", kind(why), peer.map_or("", |peer| peer));
        let untold = self.shared.notices.tell(Notice::TurnedAway, &sort);
        let local = &self.shared.settings.name;
        let from = stranger.address.map(|address| address.to_string());
        let peer = stranger.name.get().map(shown);
        let (from, peer, why) = (from.as_deref(), peer.as_deref(), shown(why));
        match untold {
            Some(untold) => {
                tracing::warn!(target: "grid::link", %local, peer, from, %why, untold, "refused a connection");
            }
            None => tracing::debug!(target: "grid::link", %local, peer, from, %why, "refused a connection"),
        }
    }
}

/// Whoever connects, as far as it is known before it is let in.
#[derive(Debug, Default)]
pub(crate) struct Stranger {
    address: Option<SocketAddr>,
    /// What it calls itself.
    name: OnceLock<Box<str>>,
}

impl Stranger {
    pub(super) fn on_name(&self, name: &str) {
        self.name.get_or_init(|| name.into());
    }
}

/// What stands behind the second colon is chosen by the stranger, and changes from one attempt to the next.
fn kind(why: &LinkError) -> String {
    why.to_string().splitn(3, ':').take(2).collect()
}

type Accepted = (WebSocket, Arc<super::link::Link>, Arc<super::peer::Peer>);

/// Between two attempts when the system gives no connection. Long enough not to spin, short beside a handshake.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

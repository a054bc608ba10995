//! Taking connections in.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::{Instant, sleep, timeout};

use super::dial::Attached;
use super::hello;
use super::log_once::Outage;
use super::node::Node;
use super::secure;
use super::socket::{BoxIo, Socket, WebSocket};
use super::upgrade;
use crate::error::LinkError;
use crate::transport::tune;

impl Node {
    /// Takes connections from a listener until the node ends.
    pub(crate) async fn accept_forever(self: Arc<Self>, listener: TcpListener) {
        let closing = self.shared.closing.clone();
        let mut outage = Outage::default();
        let accepting = async {
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => {
                        // Beyond the limit of handshakes, this one waits here and others in the queue of the system.
                        let Ok(permit) = Arc::clone(&self.handshakes).acquire_owned().await else { return };
                        if let Err(error) = tune(&stream) {
                            tracing::debug!(target: "grid::link", %error, "cannot set the options of a socket");
                        }
                        let node = Arc::clone(&self);
                        self.shared.tasks.spawn(async move {
                            let accepted = node.handshake_http(Box::new(stream)).await;
                            drop(permit);
                            node.drive_accepted(accepted).await;
                        });
                    }
                    Err(error) => {
                        // Most likely out of file descriptors; those of others must close first.
                        if outage.is_news(&error.to_string(), Instant::now().into_std()) {
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
        let Ok(permit) = Arc::clone(&self.handshakes).acquire_owned().await else { return };
        let accepted = self.handshake_http(io).await;
        drop(permit);
        self.drive_accepted(accepted).await;
    }

    async fn handshake_http(&self, io: BoxIo) -> Result<Accepted, LinkError> {
        let handshake = async {
            let (io, certificate) = secure::accept(io, &self.shared.settings).await?;
            let socket = Socket::new(io, hello::HANDSHAKE_BYTES_MAX);
            let ws = upgrade::accept(socket, &self.shared.settings).await?;
            hello::accept(ws, self, certificate).await
        };
        self.in_time(handshake).await
    }

    /// Serves a WebSocket whose HTTP part somebody else does.
    #[cfg(feature = "axum")]
    pub(crate) async fn accept_upgraded<E: std::fmt::Display>(
        self: Arc<Self>,
        upgraded: impl Future<Output = Result<BoxIo, E>>,
        permit: tokio::sync::OwnedSemaphorePermit,
    ) {
        use super::websocket::Masks;

        let handshake = async {
            let io = upgraded.await.map_err(|error| LinkError::Closed(error.to_string().into()))?;
            let socket = Socket::new(io, hello::HANDSHAKE_BYTES_MAX);
            let bytes_max = self.shared.settings.limits.message_bytes_max;
            hello::accept(WebSocket::new(socket, Masks::No, &[], bytes_max), &self, None).await
        };
        let accepted = self.in_time(handshake).await;
        drop(permit);
        self.drive_accepted(accepted).await;
    }

    async fn in_time(
        &self,
        handshake: impl Future<Output = Result<Accepted, LinkError>>,
    ) -> Result<Accepted, LinkError> {
        let limit = self.shared.settings.timeouts.handshake;
        let in_time = async { timeout(limit, handshake).await.unwrap_or(Err(LinkError::HandshakeTimeout)) };
        self.shared.closing.run_until_cancelled(in_time).await.unwrap_or(Err(LinkError::ShutDown))
    }

    async fn drive_accepted(&self, accepted: Result<Accepted, LinkError>) {
        match accepted {
            Ok((ws, link, peer)) => {
                self.shared.strangers.forget_all();
                let driver = hello::driver(ws, link, &peer, &self.mesh);
                Attached::new(peer, driver).drive().await;
            }
            Err(why) => {
                let local = &self.shared.settings.name;
                let fault = why.to_string();
                // What stands behind the last colon changes from one attempt to the next.
                let kind = fault.rsplit_once(':').map_or(&*fault, |(kind, _)| kind);
                let kind = kind.get(..kind.floor_char_boundary(KIND_BYTES_MAX)).unwrap_or_default();
                if self.shared.strangers.is_news(kind, "") {
                    tracing::warn!(target: "grid::link", %local, why = %fault.escape_debug(), "refused a connection");
                } else {
                    tracing::debug!(target: "grid::link", %local, why = %fault.escape_debug(), "refused a connection");
                }
            }
        }
    }
}

type Accepted = (WebSocket, Arc<super::link::Link>, Arc<super::peer::Peer>);

/// What is remembered of a fault may hold a name that a stranger chose.
const KIND_BYTES_MAX: usize = 128;
/// Between two attempts when the system gives no connection. Long enough not to spin, short beside a handshake.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

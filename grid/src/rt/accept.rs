//! Taking connections in.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::dial::Attached;
use super::handshakes::Handshake;
use super::hello;
use super::log_once::{Outage, shown};
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
                    Ok(io) => {
                        let handshake = self.handshakes.begin().await;
                        let node = Arc::clone(&self);
                        self.shared.tasks.spawn(async move {
                            let accepted = node.handshake_http(io, &handshake).await;
                            drop(handshake);
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
        let handshake = self.handshakes.begin().await;
        let accepted = self.handshake_http(io, &handshake).await;
        drop(handshake);
        self.drive_accepted(accepted).await;
    }

    async fn handshake_http(&self, io: BoxIo, handshake: &Handshake) -> Result<Accepted, LinkError> {
        let accepted = async {
            let (io, shown) = secure::accept(io, &self.shared.settings).await?;
            let socket = Socket::new(io, hello::HANDSHAKE_BYTES_MAX);
            let ws = upgrade::accept(socket, &self.shared.settings).await?;
            hello::accept(ws, self, &shown).await
        };
        self.in_time(accepted, handshake).await
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

        let accepted = async {
            let io = upgraded.await.map_err(|error| LinkError::Closed(error.to_string().into()))?;
            let socket = Socket::new(io, hello::HANDSHAKE_BYTES_MAX);
            let bytes_max = self.shared.settings.limits.message_bytes_max;
            hello::accept(WebSocket::new(socket, Masks::No, &[], bytes_max), &self, &Shown::NoTls).await
        };
        let accepted = self.in_time(accepted, &handshake).await;
        drop(handshake);
        self.drive_accepted(accepted).await;
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

    async fn drive_accepted(&self, accepted: Result<Accepted, LinkError>) {
        match accepted {
            Ok((ws, link, peer)) => {
                self.shared.strangers.forget_all();
                let driver = hello::driver(ws, link, &peer, &self.mesh);
                Attached::new(peer, driver).drive().await;
            }
            Err(why) => {
                let local = &self.shared.settings.name;
                let (kind, why) = (kind(&why), shown(&why));
                if self.shared.strangers.is_news(&kind, "") {
                    tracing::warn!(target: "grid::link", %local, %why, "refused a connection");
                } else {
                    tracing::debug!(target: "grid::link", %local, %why, "refused a connection");
                }
            }
        }
    }
}

/// What stands behind the second colon is chosen by the stranger, and changes from one attempt to the next.
fn kind(why: &LinkError) -> String {
    why.to_string().splitn(3, ':').take(2).collect()
}

type Accepted = (WebSocket, Arc<super::link::Link>, Arc<super::peer::Peer>);

/// Between two attempts when the system gives no connection. Long enough not to spin, short beside a handshake.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

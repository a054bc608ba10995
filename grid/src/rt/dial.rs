//! Connecting to a peer, again and again.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::driver::{Driver, Masks};
use super::hello;
use super::link::Link;
use super::node::Mesh;
use super::peer::Peer;
use super::socket::Socket;
use super::upgrade;
use crate::error::LinkError;

/// Keeps a peer connected until the node ends.
///
/// Attempts start [`reconnect_min`](crate::Timeouts::reconnect_min) to
/// [`reconnect_max`](crate::Timeouts::reconnect_max) apart; the first one after a link that held for longer than that
/// starts at once.
pub(super) async fn dial_forever(peer: Arc<Peer>, mesh: Arc<Mesh>) {
    let closing = peer.shared.closing.clone();
    let dialling = async {
        loop {
            let started = Instant::now();
            let pause = jittered(&peer);
            match dial_once(&peer, &mesh).await {
                Ok(driver) => drive(&peer, driver).await,
                Err(why) => failed(&peer, &why),
            }
            sleep(pause.saturating_sub(started.elapsed())).await;
        }
    };
    closing.run_until_cancelled(dialling).await;
}

/// The same from a first link on.
pub(crate) async fn keep_connected(peer: Arc<Peer>, mesh: Arc<Mesh>, first: Driver) {
    let closing = peer.shared.closing.clone();
    if closing.run_until_cancelled(drive(&peer, first)).await.is_some() {
        dial_forever(peer, mesh).await;
    }
}

/// One attempt: gives the driver of a link that is not attached yet.
pub(crate) async fn dial_once(peer: &Arc<Peer>, mesh: &Arc<Mesh>) -> Result<Driver, LinkError> {
    let settings = &peer.shared.settings;
    let attempt = async {
        let io = settings.connector.connect(&peer.name).await;
        let io = io.map_err(|error| LinkError::Unreachable {
            peer: Arc::clone(&peer.name),
            problem: error.to_string().into(),
        })?;
        let socket = Socket::new(io, hello::HANDSHAKE_BYTES_MAX);
        let ws = upgrade::dial(socket, &peer.name, settings).await?;
        let (ws, link) = hello::dial(ws, peer).await?;
        Ok(hello::driver(ws, Masks::Yes, link, peer, mesh))
    };
    timeout(settings.timeouts.handshake, attempt).await.unwrap_or(Err(LinkError::HandshakeTimeout))
}

/// Attaches a link and drives it to its end. Dropped before that, it ends the link.
pub(crate) async fn drive(peer: &Arc<Peer>, driver: Driver) {
    let attached = Attached { peer: Arc::clone(peer), link: driver.link() };
    peer.shared.faults.forget(&peer.name);
    peer.attach(&attached.link);
    let (local, instance) = (&peer.shared.settings.name, u128::from_be_bytes(attached.link.instance));
    tracing::info!(target: "grid::link", %local, peer = %peer.name, instance = format_args!("{instance:032x}"), "connected");
    driver.await;
}

/// A link that is the peer's, until it is dropped.
struct Attached {
    peer: Arc<Peer>,
    link: Arc<Link>,
}

impl Drop for Attached {
    fn drop(&mut self) {
        let why = self.link.close(LinkError::Closed("dropped by this side".into()));
        self.peer.detach(&self.link, why);
        let local = &self.peer.shared.settings.name;
        tracing::info!(target: "grid::link", %local, peer = %self.peer.name, %why, "disconnected");
    }
}

fn failed(peer: &Peer, why: &LinkError) {
    peer.on_failed(why);
    let local = &peer.shared.settings.name;
    if peer.shared.faults.is_news(&peer.name, &why.to_string()) {
        tracing::warn!(target: "grid::link", %local, peer = %peer.name, %why, "cannot connect; trying on");
    } else {
        tracing::debug!(target: "grid::link", %local, peer = %peer.name, %why, "cannot connect");
    }
}

/// Drawn evenly, so that nodes which lost the same peer at once do not dial it in step.
fn jittered(peer: &Peer) -> Duration {
    let timeouts = &peer.shared.settings.timeouts;
    timeouts.reconnect_min + (timeouts.reconnect_max - timeouts.reconnect_min).mul_f64(fastrand::f64())
}

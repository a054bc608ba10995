//! Connecting to a peer, again and again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::{Instant, sleep, timeout};

use super::driver::Driver;
use super::hello;
use super::link::Link;
use super::log_once::shown;
use super::node::Mesh;
use super::peer::{LinkState, Peer};
use super::secure;
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
            // A node that ends closes its peers first: the end of a link may be seen before the end of the node.
            if peer.shared.is_draining() || matches!(peer.state(), LinkState::Closed) {
                return closing.cancelled().await;
            }
            let started = Instant::now();
            let pause = jittered(&peer);
            let once = async {
                match dial_once(&peer, &mesh).await {
                    Ok(driver) => Attached::new(Arc::clone(&peer), driver).drive().await,
                    Err(why) => failed(&peer, &why),
                }
            };
            guarded(&peer, once).await;
            sleep(pause.saturating_sub(started.elapsed())).await;
        }
    };
    closing.run_until_cancelled(dialling).await;
}

/// The same from a first link on.
pub(crate) async fn keep_connected(first: Attached, mesh: Arc<Mesh>) {
    let peer = Arc::clone(&first.peer);
    let closing = peer.shared.closing.clone();
    if closing.run_until_cancelled(guarded(&peer, first.drive())).await.is_some() {
        dial_forever(peer, mesh).await;
    }
}

/// A panic ends a link, and not the dialling: it may be that of a byte stream, of a subscriber of the log, of a waker.
async fn guarded(peer: &Peer, link: impl Future<Output = ()>) {
    if AssertUnwindSafe(link).catch_unwind().await.is_err() {
        let problem = "something below the link panicked".into();
        let why = LinkError::Unreachable { peer: Arc::clone(&peer.name), problem };
        // It may be the subscriber that panics, and again at this.
        let _told_or_not = catch_unwind(AssertUnwindSafe(|| failed(peer, &why)));
    }
}

/// One attempt: gives the driver of a link that is not attached yet.
pub(crate) async fn dial_once(peer: &Arc<Peer>, mesh: &Arc<Mesh>) -> Result<Driver, LinkError> {
    let settings = &peer.shared.settings;
    let attempt = async {
        let unusable = |problem: &dyn ToString| LinkError::Unreachable {
            peer: Arc::clone(&peer.name),
            problem: problem.to_string().into(),
        };
        let token = async { (settings.token_source)(&peer.name).await };
        let token = AssertUnwindSafe(token).catch_unwind().await.map_err(|_| unusable(&"the token source panicked"))?;
        let io = async { settings.connector.connect(&peer.name).await };
        let io = AssertUnwindSafe(io).catch_unwind().await.map_err(|_| unusable(&"the connector panicked"))?;
        let io = io.map_err(|error| unusable(&error))?;
        let io = secure::dial(io, &peer.name, settings).await?;
        let socket = Socket::new(io, hello::HANDSHAKE_BYTES_MAX);
        let ws = upgrade::dial(socket, &peer.name, &token, settings).await?;
        let (ws, link) = hello::dial(ws, peer, &token).await?;
        Ok(hello::driver(ws, link, peer, mesh))
    };
    timeout(settings.timeouts.handshake, attempt).await.unwrap_or(Err(LinkError::HandshakeTimeout))
}

/// A link that is the peer's current one until it is dropped, which ends it.
pub(crate) struct Attached {
    peer: Arc<Peer>,
    link: Arc<Link>,
    /// Taken when it is driven.
    driver: Option<Driver>,
}

impl Attached {
    pub(crate) fn new(peer: Arc<Peer>, driver: Driver) -> Self {
        // First, so that a panic of who is told of the link ends it.
        let this = Self { link: driver.link(), peer, driver: Some(driver) };
        let Self { peer, link, .. } = &this;
        peer.shared.faults.forget(&peer.name);
        peer.attach(link);
        let local = &peer.shared.settings.name;
        let instance = format!("{:032x}", u128::from_be_bytes(link.instance));
        tracing::info!(target: "grid::link", %local, peer = %peer.name, instance, "connected");
        this
    }

    /// Drives the link to its end.
    pub(crate) async fn drive(mut self) {
        if let Some(driver) = self.driver.take() {
            driver.await;
        }
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        let why = match self.peer.shared.closing.is_cancelled() {
            true => LinkError::ShutDown,
            false => LinkError::Dropped,
        };
        let why = self.link.close(why);
        self.peer.detach(&self.link, why);
        // A subscriber that panics twice at once would end the process.
        if !std::thread::panicking() {
            let local = &self.peer.shared.settings.name;
            tracing::info!(target: "grid::link", %local, peer = %self.peer.name, why = %shown(why), "disconnected");
        }
    }
}

fn failed(peer: &Peer, why: &LinkError) {
    peer.on_failed(why);
    let local = &peer.shared.settings.name;
    let fault = match why {
        LinkError::Rejected(reason) => reason.to_string(),
        other => other.to_string(),
    };
    if peer.shared.faults.is_news(&peer.name, &fault) {
        tracing::warn!(target: "grid::link", %local, peer = %peer.name, why = %shown(why), "cannot connect; trying on");
    } else {
        tracing::debug!(target: "grid::link", %local, peer = %peer.name, why = %shown(why), "cannot connect");
    }
}

/// Drawn evenly, so that nodes which lost the same peer at once do not dial it in step.
fn jittered(peer: &Peer) -> Duration {
    let timeouts = &peer.shared.settings.timeouts;
    timeouts.reconnect_min + (timeouts.reconnect_max - timeouts.reconnect_min).mul_f64(fastrand::f64())
}

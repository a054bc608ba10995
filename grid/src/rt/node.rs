//! A node: its settings, its peers and guests, and the tasks that keep it connected.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::dial::dial_forever;
use super::handshakes::Handshakes;
use super::hits::{Hits, Limit};
use super::link::Link;
use super::log_once::{LogOnce, Notices};
use super::peer::Peer;
use super::quota::Quota;
use super::registry::Registry;
use crate::auth::{TokenSource, TokenValidator, TokensProve};
use crate::clock::Clock;
use crate::limits::{Limits, Timeouts};
use crate::middleware::Layers;
use crate::proto::is_guest;
use crate::tls::Tls;
use crate::transport::Connector;
use crate::wire::{InstanceId, local_dials};

/// What a node was built with.
pub(crate) struct Settings {
    pub(crate) name: Arc<str>,
    pub(crate) route: Box<str>,
    pub(crate) limits: Limits,
    pub(crate) timeouts: Timeouts,
    pub(crate) token_source: TokenSource,
    pub(crate) token_validator: TokenValidator,
    pub(crate) tokens_prove: TokensProve,
    pub(crate) connector: Arc<dyn Connector>,
    pub(crate) clock: Clock,
    pub(crate) guests: Guests,
    pub(crate) tls: Option<Tls>,
    pub(crate) middleware: Layers,
}

/// Whether processes outside the mesh may connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Guests {
    Allowed,
    #[default]
    Refused,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("name", &self.name).field("route", &self.route).finish_non_exhaustive()
    }
}

/// What all peers of a node share. Holds neither the peers nor the handlers: a service may hold connections.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) instance: InstanceId,
    /// Ends every task of the node.
    pub(crate) closing: CancellationToken,
    draining: AtomicBool,
    /// How often limits were reached, by all peers.
    pub(crate) hits: Arc<Hits>,
    /// For the calls of all peers, and of all guests.
    quota: Arc<Quota>,
    guest_quota: Arc<Quota>,
    /// Tasks that dial, accept and drive links.
    pub(crate) tasks: TaskTracker,
    /// Tasks that run handlers.
    pub(crate) handlers: TaskTracker,
    /// Of peers that this node dials.
    pub(crate) faults: LogOnce,
    /// Of what whoever connects, and guests, bring about.
    pub(crate) notices: Notices,
    /// Connections that were not let in.
    pub(crate) turned_away: AtomicU64,
}

impl Shared {
    fn new(settings: Settings, peers: usize) -> Self {
        let total = settings.limits.calls_in_total_max;
        let of_guests = match settings.guests {
            Guests::Allowed if peers > 0 => (total / SHARE_OF_GUESTS).max(1).min(total - 1),
            Guests::Allowed => total,
            Guests::Refused => 0,
        };
        let quota = Arc::new(Quota::new(total - of_guests, "calls of all peers"));
        let guest_quota = Arc::new(Quota::new(of_guests, "calls of all guests"));
        Self {
            settings,
            instance: std::array::from_fn(|_| fastrand::u8(..)),
            closing: CancellationToken::new(),
            draining: AtomicBool::new(false),
            hits: Arc::default(),
            quota,
            guest_quota,
            tasks: TaskTracker::new(),
            handlers: TaskTracker::new(),
            faults: LogOnce::default(),
            notices: Notices::default(),
            turned_away: AtomicU64::new(0),
        }
    }

    /// The places for the calls of a peer.
    pub(crate) fn quota(&self, peer: &str) -> &Arc<Quota> {
        if is_guest(peer) { &self.guest_quota } else { &self.quota }
    }

    /// No call of a peer is let in any more.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

/// What a node serves, and to whom it is connected: all that a handler may want of it.
#[derive(Debug)]
pub(crate) struct Mesh {
    pub(crate) registry: Registry,
    pub(crate) peers: BTreeMap<Arc<str>, Arc<Peer>>,
}

/// A node of the mesh, or the small one behind a guest's connection.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) shared: Arc<Shared>,
    pub(crate) mesh: Arc<Mesh>,
    /// Guests that are connected, or whose connection somebody holds.
    guests: Mutex<BTreeMap<Arc<str>, Weak<Peer>>>,
    pub(crate) handshakes: Arc<Handshakes>,
}

/// Ends a node when the last handle to it goes.
#[derive(Debug)]
pub(crate) struct Guard(pub(crate) Arc<Node>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Node {
    pub(crate) fn new(settings: Settings, registry: Registry, peers: impl IntoIterator<Item = Arc<str>>) -> Self {
        let names: Vec<_> = peers.into_iter().collect();
        let shared = Arc::new(Shared::new(settings, names.len()));
        let Settings { limits, timeouts, .. } = &shared.settings;
        let handshakes = Handshakes::new(limits.handshakes_max, timeouts.handshake, Arc::clone(&shared.hits));
        let handshakes = Arc::new(handshakes);
        let peers = names.into_iter().map(|name| {
            let peer = Peer::new(Arc::clone(&name), Arc::clone(&shared));
            (name, Arc::new(peer))
        });
        let mesh = Arc::new(Mesh { registry, peers: peers.collect() });
        Self { shared, mesh, guests: Mutex::default(), handshakes }
    }

    /// Starts to dial those peers that are this node's to dial.
    pub(crate) fn dial_peers(&self) {
        for peer in self.mesh.peers.values() {
            if local_dials(&self.shared.settings.name, &peer.name) {
                self.shared.tasks.spawn(dial_forever(Arc::clone(peer), Arc::clone(&self.mesh)));
            } else {
                let local = &self.shared.settings.name;
                tracing::info!(target: "grid::link", %local, peer = %peer.name, "waiting to be dialled");
            }
        }
    }

    /// Whether a node of this name may connect.
    pub(crate) fn knows(&self, name: &str) -> bool {
        match is_guest(name) {
            true => self.shared.settings.guests == Guests::Allowed,
            false => self.mesh.peers.contains_key(name),
        }
    }

    /// The peer of this name, which has been found good. `None`: there are as many guests as may be.
    pub(crate) fn peer(&self, name: &str) -> Option<Arc<Peer>> {
        if let Some(peer) = self.mesh.peers.get(name) {
            return Some(Arc::clone(peer));
        }
        let mut guests = self.guests();
        if let Some(guest) = guests.get(name).and_then(Weak::upgrade) {
            return Some(guest);
        }
        if guests.len() >= self.shared.settings.limits.guests_max {
            guests.retain(|_, guest| guest.strong_count() > 0);
            if guests.len() >= self.shared.settings.limits.guests_max {
                self.shared.hits.add(Limit::Guests);
                return None;
            }
        }
        let name: Arc<str> = name.into();
        let guest = Arc::new(Peer::new(Arc::clone(&name), Arc::clone(&self.shared)));
        guests.insert(name, Arc::downgrade(&guest));
        Some(guest)
    }

    /// Lets running calls finish, within a limit, and ends the node. A second time it waits for the first.
    pub(crate) async fn shutdown(self: Arc<Self>) {
        let limit = self.shared.settings.timeouts.drain;
        // Before anything else, as it panics outside of a runtime.
        let runtime = Handle::current();
        if !self.shared.draining.swap(true, Ordering::Relaxed) {
            // In a task of its own, so that it goes on when the one who asked for it does not wait.
            let node = Arc::clone(&self);
            runtime.spawn(async move { node.drain(limit).await });
        }
        self.shared.closing.cancelled().await;
        if timeout(limit.max(TASKS_END), self.shared.tasks.wait()).await.is_err() {
            tracing::warn!(target: "grid::node", name = %self.shared.settings.name, "a handler blocks a link");
        }
        if timeout(limit, self.shared.handlers.wait()).await.is_err() {
            tracing::warn!(target: "grid::node", name = %self.shared.settings.name, "detached handlers still run");
        }
    }

    async fn drain(&self, limit: Duration) {
        let name = &self.shared.settings.name;
        let links = self.links();
        tracing::info!(target: "grid::node", %name, links = links.len(), "draining");
        for link in &links {
            link.send_leaving("shutting down");
        }
        let drained = join_all(links.iter().map(|link| link.idle()));
        if timeout(limit, drained).await.is_err() {
            tracing::warn!(target: "grid::node", %name, "calls still run at the end of the drain");
        }
        // What is queued still goes out: each driver ends when its outbox is empty.
        let written = join_all(links.iter().map(|link| async {
            link.outbox.finish();
            link.ended().await;
        }));
        if timeout(self.shared.settings.timeouts.write, written).await.is_err() {
            tracing::warn!(target: "grid::node", %name, "a peer does not take what is queued for it");
        }
        self.close();
    }

    /// Ends the node at once.
    pub(crate) fn close(&self) {
        // The peers first, so that calls end for the right reason before the tasks that drive their links do; and once
        // more for a guest that came in between. After that `Peer::attach` lets no link in.
        self.all_peers().iter().for_each(|peer| peer.close());
        self.shared.closing.cancel();
        self.all_peers().iter().for_each(|peer| peer.close());
        self.shared.tasks.close();
        self.shared.handlers.close();
    }

    pub(crate) fn guests_held(&self) -> usize {
        self.guests().values().filter(|guest| guest.strong_count() > 0).count()
    }

    pub(crate) fn links(&self) -> Vec<Arc<Link>> {
        self.all_peers().iter().filter_map(|peer| peer.state().link().cloned()).collect()
    }

    fn all_peers(&self) -> Vec<Arc<Peer>> {
        let guests: Vec<_> = self.guests().values().filter_map(Weak::upgrade).collect();
        self.mesh.peers.values().cloned().chain(guests).collect()
    }

    fn guests(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Weak<Peer>>> {
        self.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Guests have a part of the places for calls, so that they cannot take those of the mesh.
const SHARE_OF_GUESTS: usize = 4;
/// Tasks of a node that ends take a moment, unless a handler blocks one of them.
const TASKS_END: Duration = Duration::from_secs(1);

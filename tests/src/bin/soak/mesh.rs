//! The nodes and the proxies between them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use grid::{Connection, Manager, ManagerBuilder};
use grid_tests::load::{Ledger, open_to_guests, serve};
use grid_tests::mesh::soon;
use grid_tests::probe::Probe;
use grid_tests::process::descriptors;
use grid_tests::proxy::{Pace, Proxy};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

/// Three nodes, each behind a proxy, so that each link goes through one.
pub(crate) struct Mesh {
    pub(crate) proxies: Vec<Proxy>,
    pub(crate) nodes: Vec<Manager>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) probe: Probe,
    /// Guests that were let in so far.
    guests: AtomicU64,
}

impl Mesh {
    pub(crate) async fn start() -> Self {
        let proxies: Vec<_> = (0..NODES).map(|_| Proxy::start()).collect();
        let names: Vec<_> = proxies.iter().map(|proxy| proxy.name().to_owned()).collect();
        let probe = Probe::default();
        let mut nodes = Vec::new();
        for proxy in &proxies {
            let node = open_to_guests(serve(&probe, patient(proxy.builder()))).peers(names.clone());
            nodes.push(node.start().await.expect("it starts"));
        }
        let mesh = Self { proxies, nodes, ledger: Arc::default(), probe, guests: AtomicU64::default() };
        mesh.ready().await;
        mesh
    }

    /// Each way of each link.
    pub(crate) fn connections(&self) -> Vec<Connection> {
        self.nodes.iter().flat_map(Manager::connections).collect()
    }

    /// Waits until all is as it is without load. To be called when no call runs any more.
    pub(crate) async fn quiet(&self) {
        self.proxies.iter().for_each(|proxy| proxy.set_both(Pace::Free));
        self.ready().await;
        let start = Instant::now();
        let mut last = (self.held(), start);
        // What does not become quiet is for the verdict to say.
        while last.1.elapsed() < QUIET && start.elapsed() < QUIET_MAX {
            sleep(Duration::from_millis(20)).await;
            let held = self.held();
            if held != last.0 || !self.is_idle() {
                last = (held, Instant::now());
            }
        }
    }

    async fn ready(&self) {
        for connection in self.connections() {
            soon(connection.ready()).await.expect("not shut down");
        }
    }

    fn held(&self) -> (Option<usize>, usize) {
        (descriptors(), Handle::current().metrics().num_alive_tasks())
    }

    /// Whether nothing of any call is left on the links of the mesh, nor in handlers.
    pub(crate) fn is_idle(&self) -> bool {
        let visits = self.probe.visits();
        visits.started == visits.finished + visits.dropped
            && self.connections().iter().all(|connection| {
                let stats = connection.stats();
                (stats.calls_in, stats.calls_out, stats.unread_bytes, stats.queued_bytes) == (0, 0, 0, 0)
            })
    }

    /// Links after the first ones.
    pub(crate) fn reconnects(&self) -> u64 {
        // Both ends of a link count it.
        self.connections().iter().map(|connection| connection.stats().reconnects).sum::<u64>() / 2
    }

    pub(crate) fn guests(&self) -> u64 {
        self.guests.load(Ordering::Relaxed)
    }

    pub(crate) fn on_guest(&self) {
        self.guests.fetch_add(1, Ordering::Relaxed);
    }
}

/// Times of some seconds, so that what lasts longer is met each minute.
fn patient(builder: ManagerBuilder) -> ManagerBuilder {
    let builder = builder.timeouts(|timeouts| {
        timeouts.ping_interval = Duration::from_secs(1);
        timeouts.dead_after = Duration::from_secs(3);
        timeouts.write = Duration::from_secs(2);
        timeouts.handshake = Duration::from_secs(2);
        timeouts.reconnect_max = Duration::from_millis(100);
    });
    // Names of guests that left are kept until there are as many as there may be guests.
    builder.limits(|limits| limits.guests_max = 16)
}

const NODES: usize = 3;
/// Nothing has changed for this long: longer than it takes a node to notice that a peer is gone.
const QUIET: Duration = Duration::from_secs(4);
const QUIET_MAX: Duration = Duration::from_secs(30);

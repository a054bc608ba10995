//! What a connection has carried, over all its links.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::hits::Hits;

/// Counts that only grow. Those of a link that is not a peer's yet are added to the peer's when its handshake is over.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) bytes_in: AtomicU64,
    pub(crate) bytes_out: AtomicU64,
    pub(crate) messages_in: AtomicU64,
    pub(crate) messages_out: AtomicU64,
    pub(crate) links: AtomicU64,
    pub(crate) hits: Hits,
    /// The last round trip in nanoseconds; 0 before the first.
    ping_nanos: AtomicU64,
}

impl Counts {
    /// Of a peer.
    pub(crate) fn within(node: &Arc<Hits>) -> Self {
        Self { hits: Hits::within(node), ..Self::default() }
    }

    pub(crate) fn add(count: &AtomicU64, more: usize) {
        count.fetch_add(u64::try_from(more).unwrap_or(0), Ordering::Relaxed);
    }

    pub(crate) fn add_bytes_of(&self, handshake: &Self) {
        self.bytes_in.fetch_add(handshake.bytes_in.load(Ordering::Relaxed), Ordering::Relaxed);
        self.bytes_out.fetch_add(handshake.bytes_out.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    pub(crate) fn on_ping(&self, trip: Duration) {
        let nanos = u64::try_from(trip.as_nanos()).unwrap_or(u64::MAX).max(1);
        self.ping_nanos.store(nanos, Ordering::Relaxed);
    }

    pub(crate) fn last_ping(&self) -> Option<Duration> {
        match self.ping_nanos.load(Ordering::Relaxed) {
            0 => None,
            nanos => Some(Duration::from_nanos(nanos)),
        }
    }
}

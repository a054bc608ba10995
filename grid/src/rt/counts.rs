//! What a connection has carried, over all its links.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use super::hits::Hits;

/// Counts of a peer, over all its links. Those of a link that is not a peer's yet are added to the peer's when its
/// handshake is over.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) bytes_in: AtomicU64,
    pub(crate) bytes_out: AtomicU64,
    pub(crate) messages_in: AtomicU64,
    pub(crate) messages_out: AtomicU64,
    pub(crate) links: AtomicU64,
    pub(crate) hits: Hits,
    pub(super) outlived: OutlivedLinks,
    /// The last round trip in nanoseconds; 0 before the first.
    ping_nanos: AtomicU64,
}

/// Calls of the peer that go on after the ends of their links: detached ones, and others for a moment. They have places
/// and bytes like those of the link that is up.
#[derive(Debug, Default)]
pub(super) struct OutlivedLinks {
    calls: AtomicUsize,
    bytes: AtomicUsize,
}

/// How many there are, and the bytes of their requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outlived {
    pub(super) calls: usize,
    pub(super) bytes: usize,
}

impl OutlivedLinks {
    pub(super) fn read(&self) -> Outlived {
        Outlived { calls: self.calls.load(Ordering::Relaxed), bytes: self.bytes.load(Ordering::Relaxed) }
    }

    pub(super) fn add(&self, calls: usize, bytes: usize) {
        self.calls.fetch_add(calls, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn sub(&self, calls: usize, bytes: usize) {
        self.calls.fetch_sub(calls, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
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

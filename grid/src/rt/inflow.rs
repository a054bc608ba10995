//! What the streams of a link hold: their number, and the bytes of items that nobody has read yet.

use std::sync::Arc;

use super::counts::Counts;
use super::hits::Limit;
use super::sync::{AtomicUsize, Ordering};
use crate::proto::Memory;

/// Shared by all streams of a link. Beyond half of what may be, credits are withheld. Beyond all of it, an item ends its
/// stream if that holds more than its share, which is what may be by the number of streams; so no stream ends for what
/// others hold, and all of them together hold at most twice what may be.
#[derive(Debug)]
pub(crate) struct Inflow {
    streams: AtomicUsize,
    bytes: AtomicUsize,
    max: usize,
    counts: Arc<Counts>,
}

/// There is no room for an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Overflow;

impl Inflow {
    pub(crate) fn new(max: usize, counts: Arc<Counts>) -> Self {
        Self { streams: AtomicUsize::new(0), bytes: AtomicUsize::new(0), max, counts }
    }

    /// A stream begins.
    pub(crate) fn enter(self: &Arc<Self>) -> Arc<Self> {
        self.streams.fetch_add(1, Ordering::Relaxed);
        Arc::clone(self)
    }

    /// A stream is no more.
    pub(crate) fn leave(&self) {
        self.streams.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn streams(&self) -> usize {
        self.streams.load(Ordering::Relaxed)
    }

    /// Lets an item in, for a stream that holds so many bytes already, or not.
    pub(crate) fn add(&self, bytes: usize, held: usize) -> Result<(), Overflow> {
        let share = self.max / self.streams().max(1);
        if self.bytes().saturating_add(bytes) > self.max && held.saturating_add(bytes) > share {
            self.counts.hits.add(Limit::UnreadBytes);
            return Err(Overflow);
        }
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// An item was read, or thrown away.
    pub(crate) fn sub(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(crate) fn memory(&self) -> Memory {
        match self.bytes() > self.max / 2 {
            true => Memory::Scarce,
            false => Memory::Plenty,
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

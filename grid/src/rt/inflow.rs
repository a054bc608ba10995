//! What the streams of a link hold: their number, and the bytes of items that nobody has read yet.

use std::sync::Arc;

use super::counts::Counts;
use super::hits::Limit;
use super::sync::{AtomicUsize, Ordering};
use crate::proto::Memory;

/// Shared by all streams of a link. Beyond half of what may be, credits are withheld. Beyond all of it, an item ends its
/// stream if that holds more than its share, which is what may be by the number of streams; so hardly any stream ends for
/// what others hold. Twice what may be is the end for each: shares of streams that were opened one by one come to more.
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
        let all = self.bytes().saturating_add(bytes);
        let is_much = all > self.max && held.saturating_add(bytes) > share;
        if is_much || all > self.max.saturating_mul(2) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_that_are_opened_one_by_one_hold_twice_what_may_be_and_no_more() {
        const MAX: usize = 1 << 20;
        let inflow = Arc::new(Inflow::new(MAX, Arc::default()));
        for stream in 1..=1_000 {
            let _of_a_stream = inflow.enter();
            // Its share, in one item.
            let _let_in_or_not = inflow.add(MAX / stream, 0);
            assert!(inflow.bytes() <= 2 * MAX, "{} of {stream} streams", inflow.bytes());
        }
        assert!(inflow.bytes() > MAX);
    }
}

//! Items in the hands of their reader.

use std::collections::VecDeque;

use bytes::Bytes;

/// Items that a reader has taken from [`Receiving`](super::Receiving) all at once, to be given out one by one, and the sizes
/// of those that were given out since that was last told of it. So the lock around `Receiving` is not for each item.
///
/// What is here still counts as received and not taken.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(super) items: VecDeque<Bytes>,
    pub(super) given: Vec<usize>,
    given_bytes: usize,
    /// After so many items credits may go back.
    pub(super) due: usize,
}

impl Batch {
    /// The next item that is here.
    pub(crate) fn next(&mut self) -> Option<Bytes> {
        let item = self.items.pop_front()?;
        self.given.push(item.len());
        self.given_bytes += held_bytes(item.len());
        Some(item)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// It is time to tell what was given out.
    pub(crate) fn is_due(&self) -> bool {
        self.given.len() >= self.due || self.given_bytes >= DUE_BYTES
    }

    /// The sizes of what was given out since the last time, and what it took.
    pub(super) fn take_given(&mut self) -> (impl Iterator<Item = usize> + '_, usize) {
        (self.given.drain(..), std::mem::take(&mut self.given_bytes))
    }

    /// A burst keeps no memory.
    pub(super) fn shrink(&mut self) {
        if self.items.is_empty() && self.items.capacity() > ITEMS_KEPT {
            self.items = VecDeque::new();
        }
    }
}

/// What an unread item of this size takes.
pub(crate) fn held_bytes(len: usize) -> usize {
    len + ITEM_BYTES
}

/// Beside its bytes an item takes its place in a queue, which may be half empty, and the head of its memory. So many
/// small items count for what they are.
const ITEM_BYTES: usize = 64;
/// A sixteenth of what a stream may be ahead, so that what is counted as unread is about what is.
const DUE_BYTES: usize = 64 << 10;
/// Places of an empty queue that keep their memory, 8 KiB of it.
const ITEMS_KEPT: usize = 256;

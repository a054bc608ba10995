//! The credits of one direction of a stream.

use std::collections::VecDeque;

use crate::wire::Capabilities;

/// At the end that receives: how far the other end may run ahead. Each item takes a credit, which goes back when the
/// item is taken:
///
/// ```text
///   window = outstanding + items that wait + owed
/// ```
#[derive(Debug)]
pub(crate) struct Window {
    grants: Grants,
    size: u32,
    /// What the other end may still send.
    outstanding: u32,
    /// Credits of items that were taken, which the other end did not get back yet.
    owed: u32,
    /// The sender's account as it is seen here: items that were taken, and credits that went back.
    seen: Ahead,
}

/// How credits are given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Grants {
    /// One frame for one item, as v1 knows it.
    OneByOne,
    /// Many in one frame, when half of the window has been taken, or half of [`AHEAD_BYTES`].
    Counted,
}

/// Whether the unread items of the link leave room for more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Memory {
    Plenty,
    /// A stream that is read gets one credit at a time, so that it goes on whatever others do.
    Scarce,
}

/// Whether items of the stream wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Queue {
    Empty,
    Some,
}

impl Window {
    /// `granted` is what the other end may send to begin with: all of it, but for a lack of memory.
    pub(crate) fn new(peer: Capabilities, size: u32, granted: u32) -> Self {
        let grants = if peer.contains(Capabilities::CREDITS) { Grants::Counted } else { Grants::OneByOne };
        Self { grants, size, outstanding: granted, owed: size.saturating_sub(granted), seen: Ahead::default() }
    }

    /// No item ever comes.
    pub(crate) fn is_none(&self) -> bool {
        self.size == 0
    }

    /// The other end may not send.
    pub(crate) fn is_spent(&self) -> bool {
        self.outstanding == 0
    }

    pub(crate) fn on_item(&mut self) {
        self.outstanding = self.outstanding.saturating_sub(1);
    }

    pub(crate) fn on_taken(&mut self, bytes: usize) {
        self.seen.on_item(bytes);
        self.owed = self.owed.saturating_add(1);
    }

    /// So many items have to be taken before credits go back, as long as there is memory.
    pub(crate) fn least(&self) -> usize {
        usize::try_from(self.least_owed()).unwrap_or(usize::MAX)
    }

    fn least_owed(&self) -> u32 {
        match self.grants {
            Grants::OneByOne => 1,
            Grants::Counted => (self.size / 2).max(1),
        }
    }

    /// What goes back now.
    ///
    /// No end waits for the other when all items were taken. If the sender has no credits, the whole window is owed,
    /// and so goes back; with little memory, one of it does. If it has sent as many bytes as it may ([`Ahead`]), that
    /// is seen here, and the credits of all items go back: those of the first half while it still sends the second.
    pub(crate) fn grant(&mut self, memory: Memory, queue: Queue) -> u32 {
        let least = self.least_owed();
        let count = match memory {
            Memory::Plenty if self.owed >= least || self.seen.is_half_way() => self.owed,
            Memory::Scarce if self.seen.is_too_far() && queue == Queue::Empty => self.owed.min(self.seen.items()),
            Memory::Scarce if self.outstanding == 0 && queue == Queue::Empty => self.owed.min(1),
            Memory::Plenty | Memory::Scarce => 0,
        };
        self.owed -= count;
        self.seen.on_credits(count);
        self.outstanding = self.outstanding.saturating_add(count);
        count
    }
}

/// At the end that sends to a grid node: the bytes of large items that the other end has not taken yet. While they are
/// [`AHEAD_BYTES`] or more, no item follows, so that what waits to be read is bounded in bytes as well.
///
/// Credits come back in the order of the items, and so tell which ones were taken.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    sent: u64,
    taken: u64,
    /// The large ones: which of all it was, and its bytes.
    large: VecDeque<(u64, usize)>,
    bytes: usize,
}

impl Ahead {
    pub(crate) fn on_item(&mut self, bytes: usize) {
        if bytes > SMALL_BYTES {
            self.large.push_back((self.sent, bytes));
            self.bytes = self.bytes.saturating_add(bytes);
        }
        self.sent += 1;
    }

    /// So many items were taken; or fewer, and the rest is what was held back at the opening.
    pub(crate) fn on_credits(&mut self, credits: u32) {
        self.taken = self.taken.saturating_add(credits.into()).min(self.sent);
        while let Some((_, bytes)) = self.large.pop_front_if(|(place, _)| *place < self.taken) {
            self.bytes = self.bytes.saturating_sub(bytes);
        }
    }

    /// Items that were not taken.
    fn items(&self) -> u32 {
        u32::try_from(self.sent - self.taken).unwrap_or(u32::MAX)
    }

    /// Whether half of the bytes were sent that may be.
    fn is_half_way(&self) -> bool {
        self.bytes >= AHEAD_BYTES / 2
    }

    /// Whether the next item has to wait.
    pub(crate) fn is_too_far(&self) -> bool {
        self.bytes >= AHEAD_BYTES
    }
}

/// Bytes that one direction of a stream may be ahead, but for the item that goes beyond: what a network of 10 Gbit/s
/// carries in a millisecond. The other end counts on it.
const AHEAD_BYTES: usize = 1 << 20;
/// Items of up to this size are bounded by the window alone: by as much with the default one.
const SMALL_BYTES: usize = 1 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    /// The credits that come back for items that come and are taken one by one.
    fn granted(window: &mut Window, items: u32, memory: Memory) -> Vec<u32> {
        let one = |_| {
            assert!(!window.is_spent());
            window.on_item();
            window.on_taken(0);
            window.grant(memory, Queue::Empty)
        };
        (0..items).map(one).collect()
    }

    #[test]
    fn a_v1_peer_gets_a_credit_for_each_item_and_a_grid_peer_many_at_half_of_the_window() {
        let window = |peer, size| Window::new(peer, size, size);
        assert_eq!(granted(&mut window(Capabilities::V1, 4), 4, Memory::Plenty), [1, 1, 1, 1]);
        assert_eq!(granted(&mut window(Capabilities::OWN, 8), 8, Memory::Plenty), [0, 0, 0, 4, 0, 0, 0, 4]);
        assert_eq!(granted(&mut window(Capabilities::OWN, 1), 2, Memory::Plenty), [1, 1]);
        assert_eq!(granted(&mut window(Capabilities::OWN, 3), 3, Memory::Plenty), [1, 1, 1]);
    }

    #[test]
    fn with_little_memory_a_stream_that_is_read_gets_one_credit_at_a_time_and_all_of_them_later() {
        let mut window = Window::new(Capabilities::OWN, 4, 4);
        assert_eq!(granted(&mut window, 6, Memory::Scarce), [0, 0, 0, 1, 1, 1]);
        assert_eq!(granted(&mut window, 1, Memory::Plenty), [4]);
    }

    #[test]
    fn a_stream_that_is_not_read_gets_none_with_little_memory() {
        let mut window = Window::new(Capabilities::OWN, 4, 4);
        for _ in 0..4 {
            window.on_item();
        }
        window.on_taken(0);
        assert_eq!(window.grant(Memory::Scarce, Queue::Some), 0);
    }

    #[test]
    fn a_stream_that_began_with_little_memory_reaches_its_window() {
        let mut window = Window::new(Capabilities::OWN, 8, 1);
        assert_eq!(granted(&mut window, 1, Memory::Plenty), [8]);
    }

    #[test]
    fn credits_that_a_v1_peer_did_not_get_come_in_as_many_frames() {
        let mut window = Window::new(Capabilities::V1, 3, 3);
        assert_eq!(granted(&mut window, 2, Memory::Scarce), [0, 0]);
        window.on_item();
        window.on_taken(0);
        assert_eq!(window.grant(Memory::Plenty, Queue::Empty), 3);
    }

    /// What a sender and a reader make of items of this size with a window, the reader taking each once the sender waits.
    fn ferry(size: usize, window: u32, memory: Memory) {
        let (mut receiving, mut ahead) = (Window::new(Capabilities::OWN, window, window), Ahead::default());
        let mut credits = window;
        for _ in 0..200 {
            let mut waiting = 0;
            while credits > 0 && !ahead.is_too_far() {
                credits -= 1;
                waiting += 1;
                ahead.on_item(size);
                receiving.on_item();
            }
            assert!(waiting > 0, "items of {size} bytes stand still with a window of {window}");
            assert!(waiting * size < AHEAD_BYTES + size.max(AHEAD_BYTES), "{waiting} items of {size} bytes wait");
            for left in (0..waiting).rev() {
                receiving.on_taken(size);
                let queue = if left == 0 { Queue::Empty } else { Queue::Some };
                let granted = receiving.grant(memory, queue);
                credits += granted;
                ahead.on_credits(granted);
            }
        }
    }

    #[test]
    fn items_of_any_size_flow_and_few_bytes_wait() {
        for size in [0, 1, 1000, 5000, AHEAD_BYTES / 5, AHEAD_BYTES - 1, AHEAD_BYTES, 10 * AHEAD_BYTES] {
            for window in [1, 2, 3, 64, 256] {
                ferry(size, window, Memory::Plenty);
                ferry(size, window, Memory::Scarce);
            }
        }
    }
}

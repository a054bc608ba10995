//! The credits of one direction of a stream, at the end that receives.

use crate::wire::Capabilities;

/// How far the other end may run ahead. Each item takes a credit, which goes back when the item is taken:
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
}

/// How credits are given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Grants {
    /// One frame for one item, as v1 knows it.
    OneByOne,
    /// Many in one frame, when half of the window has been taken.
    Counted,
}

/// Credits for the other end, and the frames that it takes to say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Credits {
    pub(crate) count: u32,
    pub(crate) frames: u32,
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
        Self { grants, size, outstanding: granted, owed: size.saturating_sub(granted) }
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

    pub(crate) fn on_taken(&mut self) {
        self.owed = self.owed.saturating_add(1);
    }

    /// What goes back now.
    ///
    /// With plenty of memory no end waits for the other: if nothing is outstanding and no item waits, the whole window is
    /// owed, and so goes back. With little of it, one credit does.
    pub(crate) fn grant(&mut self, memory: Memory, queue: Queue) -> Credits {
        let least = match self.grants {
            Grants::OneByOne => 1,
            Grants::Counted => (self.size / 2).max(1),
        };
        let count = match memory {
            Memory::Plenty if self.owed >= least => self.owed,
            Memory::Scarce if self.outstanding == 0 && queue == Queue::Empty => self.owed.min(1),
            Memory::Plenty | Memory::Scarce => 0,
        };
        self.owed -= count;
        self.outstanding = self.outstanding.saturating_add(count);
        let frames = match self.grants {
            Grants::OneByOne => count,
            Grants::Counted => count.min(1),
        };
        Credits { count, frames }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The credits that come back for items that come and are taken one by one.
    fn granted(window: &mut Window, items: u32, memory: Memory) -> Vec<u32> {
        let one = |_| {
            assert!(!window.is_spent());
            window.on_item();
            window.on_taken();
            window.grant(memory, Queue::Empty).count
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
        window.on_taken();
        assert_eq!(window.grant(Memory::Scarce, Queue::Some), Credits::default());
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
        window.on_taken();
        assert_eq!(window.grant(Memory::Plenty, Queue::Empty), Credits { count: 3, frames: 3 });
    }
}

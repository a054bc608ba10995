//! What all links of a node may have together.

use super::sync::{AtomicUsize, Ordering};

/// Places for calls, leased to the links in pieces, so that calls on several links do not write to one place in memory.
#[derive(Debug)]
pub(crate) struct Quota {
    free: AtomicUsize,
    piece: usize,
    /// Whose calls they are for.
    pub(crate) of: &'static str,
}

impl Quota {
    pub(crate) fn new(max: usize, of: &'static str) -> Self {
        Self { free: AtomicUsize::new(max), piece: (max / PIECES).clamp(1, PIECE_MAX), of }
    }

    /// A piece, or what there is of one.
    pub(crate) fn lease(&self) -> usize {
        let leased = |free: usize| self.piece.min(free);
        let take = |free| Some(free - leased(free)).filter(|_| free > 0);
        self.free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).map_or(0, leased)
    }

    pub(crate) fn give_back(&self, places: usize) {
        self.free.fetch_add(places, Ordering::Relaxed);
    }

    /// So many unused places a link may keep.
    pub(crate) fn spare_max(&self) -> usize {
        match self.piece {
            // Where there are few, none is kept from others.
            1 => 0,
            piece => 2 * piece,
        }
    }
}

/// A thousand links that keep two pieces each leave half of the places to others.
const PIECES: usize = 4096;
/// Calls between two looks at what is shared: enough that they cost nothing.
const PIECE_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_leased_in_pieces_until_there_are_none() {
        let quota = Quota::new(PIECES * 10 + 3, "calls");
        assert_eq!([quota.lease(), quota.lease()], [10, 10]);
        let rest: usize = std::iter::from_fn(|| Some(quota.lease()).filter(|leased| *leased > 0)).sum();
        assert_eq!(rest, PIECES * 10 + 3 - 20, "the last piece is a small one");
        quota.give_back(4);
        assert_eq!([quota.lease(), quota.lease()], [4, 0]);
        assert_eq!(Quota::new(2, "calls").lease(), 1, "few places are leased one by one");
    }
}

//! Large frames that wait to be written: call by call in turns, so that none keeps the link for itself.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

use super::lane::Cost;
use crate::wire::EncodedFrame;

/// The large frames of each call, in order. Calls have turns: at each, one may send [`TURN_BYTES`] more than it has sent, so
/// calls with frames of different sizes send the same number of bytes (deficit round robin).
#[derive(Debug, Default)]
pub(super) struct Bulk {
    flows: HashMap<u64, Flow>,
    turns: VecDeque<u64>,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Flow {
    frames: VecDeque<Large>,
    /// Bytes that it may send before the others have their turns.
    allowance: usize,
}

/// A frame that waits.
#[derive(Debug)]
pub(super) struct Large {
    pub(super) frame: EncodedFrame,
    pub(super) cost: Cost,
    /// It may go once this many bytes of the other lane have gone, since some of those may be of the same call.
    pub(super) after: u64,
}

impl Bulk {
    /// `mux` tells calls apart. A call of ours and one of the peer may have the same, and then have their turns together.
    pub(super) fn push(&mut self, mux: u64, large: Large) {
        self.bytes += large.frame.len();
        let flow = match self.flows.entry(mux) {
            Entry::Occupied(flow) => flow.into_mut(),
            Entry::Vacant(place) => {
                self.turns.push_back(mux);
                place.insert(Flow::default())
            }
        };
        flow.frames.push_back(large);
    }

    /// The next frame, if it may go when so many bytes of the other lane have gone.
    pub(super) fn pop(&mut self, gone: u64) -> Option<Large> {
        loop {
            let mux = *self.turns.front()?;
            let Some(flow) = self.flows.get_mut(&mux) else { unreachable!("a call with a turn has frames") };
            let Some(next) = flow.frames.front() else { unreachable!("a call without frames has no turn") };
            let len = next.frame.len();
            if len > flow.allowance {
                // The turn of a call ends. It ends at most frame length / TURN_BYTES times before one of its frames goes.
                flow.allowance += TURN_BYTES;
                self.turns.rotate_left(1);
                continue;
            }
            if next.after > gone {
                return None;
            }
            flow.allowance -= len;
            let large = flow.frames.pop_front();
            if flow.frames.is_empty() {
                self.flows.remove(&mux);
                self.turns.pop_front();
            }
            self.bytes -= len;
            return large;
        }
    }

    /// Frames of this call wait.
    pub(super) fn has(&self, mux: u64) -> bool {
        self.flows.contains_key(&mux)
    }

    /// Bytes that wait.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }
}

/// What one call sends before the next has its turn: a write.
const TURN_BYTES: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Flags, Header, Op, PayloadBuf, Trailer};

    fn push(bulk: &mut Bulk, mux: u64, len: usize, after: u64) {
        let payload = PayloadBuf::copy_from(&vec![0; len]);
        let frame = payload.seal(Header::new(Op::Request, mux, Flags::NONE), &Trailer::default(), None);
        bulk.push(mux, Large { frame, cost: Cost::default(), after });
    }

    fn order(bulk: &mut Bulk) -> Vec<usize> {
        std::iter::from_fn(|| bulk.pop(0)).map(|large| large.frame.len() >> 10).collect()
    }

    #[test]
    fn calls_send_the_same_number_of_bytes_whatever_the_size_of_their_frames() {
        let mut bulk = Bulk::default();
        (0..2).for_each(|_| push(&mut bulk, 1, 200 << 10, 0));
        (0..10).for_each(|_| push(&mut bulk, 2, 40 << 10, 0));
        let order = order(&mut bulk);
        assert_eq!(order.iter().sum::<usize>(), 800);
        let before_the_first_large: usize = order.iter().take_while(|len| **len == 40).sum();
        assert!((120..=240).contains(&before_the_first_large), "{order:?}");
        assert!(bulk.is_empty() && bulk.bytes() == 0);
    }

    #[test]
    fn the_frames_of_one_call_stay_in_order_and_a_lone_call_has_all_turns() {
        let mut bulk = Bulk::default();
        [70, 1, 300, 2].iter().for_each(|len| push(&mut bulk, 1, len << 10, 0));
        assert_eq!(order(&mut bulk), [70, 1, 300, 2]);
    }

    #[test]
    fn a_frame_waits_for_what_was_before_it_in_the_other_lane() {
        let mut bulk = Bulk::default();
        push(&mut bulk, 1, 10 << 10, 100);
        assert!(bulk.pop(99).is_none());
        assert!(bulk.pop(100).is_some());
    }
}

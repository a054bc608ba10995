//! The slots of one shard of a table.

use std::sync::Arc;
use std::task::Waker;

use tokio::time::Instant;

use super::ended::Ended;
use super::stream::Stream;
use crate::error::LinkError;

/// Slots, of which those that are vacant are used again before new ones are made.
pub(super) struct Slots {
    pub(super) slots: Vec<Slot>,
    vacant: Vec<u32>,
    /// Calls that may still begin here, of those that may be in flight on the link.
    pub(super) allowed: usize,
    generation: u32,
    /// No call that waits here has to end before.
    pub(super) earliest: Option<Instant>,
    /// No call begins any more.
    pub(super) closed: Option<LinkError>,
}

/// A place for a call.
pub(super) enum Slot {
    Vacant,
    Waiting { generation: u32, deadline: Option<Instant>, waker: Waker },
    Ended(Ended),
    Stream { generation: u32, stream: Arc<Stream> },
}

impl Slot {
    /// When the call here has to end at the latest.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Waiting { deadline, .. } => *deadline,
            Self::Stream { stream, .. } => stream.deadline,
            Self::Ended(_) | Self::Vacant => None,
        }
    }
}

impl Slots {
    pub(super) fn new(generation: u32) -> Self {
        Self { slots: Vec::new(), vacant: Vec::new(), allowed: 0, generation, earliest: None, closed: None }
    }

    /// Calls in flight.
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.vacant.len()
    }

    /// The index of a vacant slot and a new generation.
    pub(super) fn vacant(&mut self) -> (u32, u32) {
        self.generation = self.generation.wrapping_add(1).max(1);
        let index = match self.vacant.pop() {
            Some(index) => index,
            None => {
                self.slots.push(Slot::Vacant);
                u32::try_from(self.slots.len() - 1).expect("Limits::calls_out_max is at most 2^20")
            }
        };
        (index, self.generation)
    }

    pub(super) fn put(&mut self, index: u32, slot: Slot) {
        if let Some(place) = usize::try_from(index).ok().and_then(|index| self.slots.get_mut(index)) {
            *place = slot;
        }
    }

    pub(super) fn vacate(&mut self, index: usize) -> Slot {
        let Some(slot) = self.slots.get_mut(index) else { return Slot::Vacant };
        let slot = std::mem::replace(slot, Slot::Vacant);
        self.allowed += 1;
        self.vacant.extend(u32::try_from(index));
        // Grown by a burst, it would keep its memory for as long as the link lives.
        if self.vacant.len() == self.slots.len() && self.slots.len() > SLOTS_KEPT {
            self.slots = Vec::new();
            self.vacant = Vec::new();
        }
        slot
    }
}

/// Slots of a shard without calls that keep their memory.
const SLOTS_KEPT: usize = 64;

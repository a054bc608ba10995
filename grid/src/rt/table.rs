//! The calls that were made on a link and wait for their ends.

use std::fmt;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::ended::Ended;
use super::message::Message;
use super::slots::{Slot, Slots};
use super::stream::{Stream, Verdict};
use super::sync::{AtomicBool, AtomicUsize, Mutex, MutexGuard, Ordering, thread_number};
use super::wakes::{Wakes, wake_all};
use crate::error::LinkError;
use crate::proto::outcome;
use crate::wire::{Capabilities, Frame, Op};

/// Slots of waiting calls, in shards. A mux id names its slot, so that an answer finds its call by an index:
///
/// ```text
///   generation: 32 bits | index in the shard and shard: 24 bits
/// ```
///
/// The generation guards a slot that was used again, and starts at random: an answer to a call of an earlier link or
/// process meets no call.
///
/// Deadlines are watched by the driver: each shard knows of a time before which none of its calls has to end, and is
/// looked through then.
///
/// The slot of a single request is vacated by the one who made the call, in [`poll`](Self::poll) or
/// [`cancel`](Self::cancel). All that can end it happens under the lock of its shard, so it ends once. A stream has a
/// lock of its own; its slot is vacated by whatever ends it first.
pub(crate) struct Table {
    shards: Box<[Shard]>,
    shard_bits: u32,
    /// Of the calls that may be in flight, those that no shard has claimed. Changed with the lock of a shard held.
    unclaimed: AtomicUsize,
    in_flight_max: usize,
    /// A call has to end before the driver will look.
    earlier: AtomicBool,
    /// Somebody waits for the end of all calls.
    watched: AtomicBool,
    idle: Notify,
}

/// A shard has a cache line pair of its own.
#[repr(align(128))]
struct Shard(Mutex<Slots>);

/// Why a call could not begin.
#[derive(Debug, Clone)]
pub(crate) enum NoSlot {
    /// As many calls as may be are in flight.
    Full(usize),
    Closed(LinkError),
}

/// What a call was that is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cancelled {
    Waiting,
    HadEnded,
}

/// Whether a frame met a call that waits.
#[derive(Debug, Clone)]
pub(crate) enum Met {
    Call,
    /// A stream that has ended, whose remote is to be told.
    Broken(Arc<Stream>),
    Nobody,
}

impl Table {
    /// `seed` is where generations start.
    pub(crate) fn new(shards: usize, in_flight_max: usize, seed: u32) -> Self {
        let shards = shards.clamp(1, SHARDS_MAX).next_power_of_two();
        let slots = || Slots::new(seed);
        Self {
            shards: (0..shards).map(|_| Shard(Mutex::new(slots()))).collect(),
            shard_bits: shards.trailing_zeros(),
            unclaimed: AtomicUsize::new(in_flight_max),
            in_flight_max,
            earlier: AtomicBool::new(false),
            watched: AtomicBool::new(false),
            idle: Notify::new(),
        }
    }

    /// Begins a single request, and gives its mux id. `waker` is woken when it has ended.
    pub(crate) fn insert(&self, deadline: Option<Instant>, waker: Waker) -> Result<u64, NoSlot> {
        self.occupy(|mux, generation| (mux, Slot::Waiting { generation, deadline, waker }))
    }

    /// Begins a stream, which is made with its mux id.
    pub(crate) fn insert_stream(&self, new: impl FnOnce(u64) -> Stream) -> Result<Arc<Stream>, NoSlot> {
        self.occupy(|mux, generation| {
            let stream = Arc::new(new(mux));
            (Arc::clone(&stream), Slot::Stream { generation, stream })
        })
    }

    /// Fills a slot in the shard of the calling thread. Mux ids are never 0.
    fn occupy<T>(&self, fill: impl FnOnce(u64, u32) -> (T, Slot)) -> Result<T, NoSlot> {
        let shard = thread_number() & (self.shards.len() - 1);
        let mut slots = self.allowed(shard)?;
        slots.allowed -= 1;
        let (index, generation) = slots.vacant();
        let place = (u64::from(index) << self.shard_bits) | u64::try_from(shard).unwrap_or(0);
        let (made, slot) = fill((u64::from(generation) << PLACE_BITS) | place, generation);
        let deadline = slot.deadline();
        slots.put(index, slot);
        if deadline.is_some_and(|deadline| slots.earliest.is_none_or(|earliest| deadline < earliest)) {
            slots.earliest = deadline;
            self.earlier.store(true, Ordering::Relaxed);
        }
        Ok(made)
    }

    /// A shard in which a call may begin. Each claims a number of calls at once, so that threads do not meet over a count.
    fn allowed(&self, shard: usize) -> Result<MutexGuard<'_, Slots>, NoSlot> {
        let mut slots = self.lock(shard);
        if let Some(why) = slots.closed.clone() {
            return Err(NoSlot::Closed(why));
        }
        if slots.allowed > 0 || self.claim(&mut slots) {
            return Ok(slots);
        }
        drop(slots);
        self.reclaim(shard)
    }

    /// The same when none is left to be claimed: takes back what shards have claimed and do not need now. All are locked, so
    /// that a call is refused only while as many as may be are in flight.
    fn reclaim(&self, shard: usize) -> Result<MutexGuard<'_, Slots>, NoSlot> {
        let mut all: Vec<_> = (0..self.shards.len()).map(|shard| self.lock(shard)).collect();
        let allowed: usize = all.iter_mut().map(|slots| std::mem::take(&mut slots.allowed)).sum();
        self.unclaimed.fetch_add(allowed, Ordering::Relaxed);
        let mut slots = all.swap_remove(shard);
        if let Some(why) = slots.closed.clone() {
            return Err(NoSlot::Closed(why));
        }
        if self.claim(&mut slots) { Ok(slots) } else { Err(NoSlot::Full(self.in_flight_max)) }
    }

    /// Claims some calls for a shard. One at a time near the limit, so that what is left is not all in one shard.
    fn claim(&self, slots: &mut Slots) -> bool {
        let share = |unclaimed: usize| (unclaimed / (2 * self.shards.len())).clamp(1, CLAIM);
        let claim = |unclaimed: usize| (unclaimed > 0).then(|| unclaimed - share(unclaimed));
        let claimed = self.unclaimed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, claim);
        slots.allowed += claimed.map_or(0, share);
        claimed.is_ok()
    }

    /// Vacates a slot, which ends the call in it.
    fn vacate(&self, mut slots: MutexGuard<'_, Slots>, index: usize) -> Slot {
        let slot = slots.vacate(index);
        if slots.allowed > 2 * CLAIM {
            slots.allowed -= CLAIM;
            self.unclaimed.fetch_add(CLAIM, Ordering::Relaxed);
        }
        drop(slots);
        if self.watched.load(Ordering::Relaxed) {
            self.idle.notify_waiters();
        }
        slot
    }

    /// Waits for the end of a call, and vacates its slot.
    pub(crate) fn poll(&self, mux: u64, cx: &Context<'_>) -> Poll<Ended> {
        let Some((shard, index, _)) = self.place(mux) else { unreachable!("a mux id that this table gave out") };
        let mut slots = self.lock(shard);
        if let Some(Slot::Waiting { waker, .. }) = slots.slots.get(index) {
            if waker.will_wake(cx.waker()) {
                return Poll::Pending;
            }
            drop(slots);
            // Cloning and dropping a waker may run anything, so both happen without the lock.
            let mut swapped = cx.waker().clone();
            slots = self.lock(shard);
            if let Some(Slot::Waiting { waker, .. }) = slots.slots.get_mut(index) {
                std::mem::swap(waker, &mut swapped);
                drop(slots);
                return Poll::Pending;
            }
            drop(slots);
            drop(swapped);
            slots = self.lock(shard);
        }
        match self.vacate(slots, index) {
            Slot::Ended(ended) => Poll::Ready(ended),
            Slot::Waiting { .. } | Slot::Vacant | Slot::Stream { .. } => {
                unreachable!("a slot is vacated by its call alone")
            }
        }
    }

    /// Gives a call up, and vacates its slot.
    pub(crate) fn cancel(&self, mux: u64) -> Cancelled {
        let Some((shard, index, _)) = self.place(mux) else { return Cancelled::HadEnded };
        match self.vacate(self.lock(shard), index) {
            Slot::Waiting { .. } => Cancelled::Waiting,
            Slot::Ended(_) | Slot::Vacant | Slot::Stream { .. } => Cancelled::HadEnded,
        }
    }

    /// Whether [`next_deadline`](Self::next_deadline) has become earlier, or never was looked at.
    pub(crate) fn is_earlier(&self) -> bool {
        self.earlier.load(Ordering::Relaxed)
    }

    /// When to call [`expire`](Self::expire) next.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        // It is set with the lock of a shard held: either that shard is seen below as it was left, or it is set again.
        self.earlier.store(false, Ordering::Relaxed);
        (0..self.shards.len()).filter_map(|shard| self.lock(shard).earliest).min()
    }

    /// Ends the single requests whose deadlines have passed. Gives the streams of which that is true.
    pub(crate) fn expire(&self, now: Instant) -> Vec<Arc<Stream>> {
        let mut streams = Vec::new();
        for shard in 0..self.shards.len() {
            let mut slots = self.lock(shard);
            if slots.earliest.is_none_or(|earliest| earliest > now) {
                continue;
            }
            let mut wakers = Vec::new();
            let mut earliest: Option<Instant> = None;
            for slot in &mut slots.slots {
                let Some(deadline) = slot.deadline() else { continue };
                if deadline > now {
                    earliest = Some(earliest.map_or(deadline, |earliest| earliest.min(deadline)));
                    continue;
                }
                match slot {
                    Slot::Waiting { .. } => {
                        if let Slot::Waiting { waker, .. } = std::mem::replace(slot, Slot::Ended(Ended::Deadline)) {
                            wakers.push(waker);
                        }
                    }
                    Slot::Stream { stream, .. } => streams.push(Arc::clone(stream)),
                    Slot::Ended(_) | Slot::Vacant => {}
                }
            }
            slots.earliest = earliest;
            drop(slots);
            wake_all(wakers.into_iter());
        }
        streams
    }

    /// A stream has ended. Nothing happens if that was known.
    pub(crate) fn remove(&self, mux: u64) {
        let Some((shard, index, wanted)) = self.place(mux) else { return };
        let slots = self.lock(shard);
        if matches!(slots.slots.get(index), Some(Slot::Stream { generation, .. }) if *generation == wanted) {
            drop(self.vacate(slots, index));
        }
    }

    /// The streams that have not ended.
    pub(crate) fn streams(&self) -> Vec<Arc<Stream>> {
        let mut streams = Vec::new();
        for shard in 0..self.shards.len() {
            streams.extend(self.lock(shard).slots.iter().filter_map(|slot| match slot {
                Slot::Stream { stream, .. } => Some(Arc::clone(stream)),
                Slot::Waiting { .. } | Slot::Ended(_) | Slot::Vacant => None,
            }));
        }
        streams
    }

    /// A frame of the peer for a call of ours. `message` is what the frame borrows from. Whoever waits for it is left in
    /// `wakes`.
    pub(crate) fn on_frame(&self, frame: &Frame<'_>, message: &Message, peer: Capabilities, wakes: &mut Wakes) -> Met {
        let Some((shard, index, wanted)) = self.place(frame.head.mux) else { return Met::Nobody };
        let ended = || outcome(frame).map(|outcome| Ended::from_outcome(outcome, |payload| message.keep(payload)));
        let is_large = frame.head.op == Op::Response && frame.payload.len() > LOCKED_COPY_MAX;
        let large = if is_large { ended() } else { None };
        let mut slots = self.lock(shard);
        let Some(slot) = slots.slots.get_mut(index) else { return Met::Nobody };
        match slot {
            Slot::Waiting { generation, .. } if *generation == wanted => {}
            Slot::Stream { generation, stream } if *generation == wanted => {
                let stream = Arc::clone(stream);
                drop(slots);
                let verdict = stream.on_frame(frame, message, peer, wakes);
                return self.on_verdict(stream, &verdict);
            }
            Slot::Waiting { .. } | Slot::Stream { .. } | Slot::Ended(_) | Slot::Vacant => return Met::Nobody,
        }
        if let Some(ended) = large.or_else(ended) {
            let slot = std::mem::replace(slot, Slot::Ended(ended));
            drop(slots);
            if let Slot::Waiting { waker, .. } = slot {
                wakes.add(waker);
            }
        }
        Met::Call
    }

    fn on_verdict(&self, stream: Arc<Stream>, verdict: &Verdict) -> Met {
        match verdict {
            Verdict::GoesOn | Verdict::Ping | Verdict::Cancelled | Verdict::Refuse(..) => Met::Call,
            Verdict::Ended => {
                self.remove(stream.mux);
                Met::Call
            }
            Verdict::Tell => {
                self.remove(stream.mux);
                Met::Broken(stream)
            }
        }
    }

    /// Ends every call that waits, and lets none begin.
    pub(crate) fn close(&self, why: &LinkError) {
        for shard in 0..self.shards.len() {
            let mut slots = self.lock(shard);
            slots.closed.get_or_insert_with(|| why.clone());
            let mut wakers = Vec::new();
            for slot in &mut slots.slots {
                if matches!(slot, Slot::Waiting { .. })
                    && let Slot::Waiting { waker, .. } = std::mem::replace(slot, Slot::Ended(Ended::Link(why.clone())))
                {
                    wakers.push(waker);
                }
            }
            drop(slots);
            wake_all(wakers.into_iter());
        }
        for stream in self.streams() {
            stream.close(Ended::Link(why.clone()));
            self.remove(stream.mux);
        }
    }

    pub(crate) fn in_flight(&self) -> usize {
        (0..self.shards.len()).map(|shard| self.lock(shard).len()).sum()
    }

    /// Waits until no call is in flight.
    pub(crate) async fn idle(&self) {
        // Whoever vacates a slot after it was counted below sees it.
        self.watched.store(true, Ordering::Relaxed);
        loop {
            let idle = self.idle.notified();
            if self.in_flight() == 0 {
                return;
            }
            idle.await;
        }
    }

    /// Shard, index and generation that a mux id names, if it can be one of ours.
    fn place(&self, mux: u64) -> Option<(usize, usize, u32)> {
        let generation = u32::try_from(mux >> PLACE_BITS).ok()?;
        let place = usize::try_from(mux & ((1 << PLACE_BITS) - 1)).ok()?;
        Some((place & (self.shards.len() - 1), place >> self.shard_bits, generation))
    }

    fn lock(&self, shard: usize) -> MutexGuard<'_, Slots> {
        let Some(Shard(slots)) = self.shards.get(shard) else { unreachable!("masked by the number of shards") };
        slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("in_flight", &self.in_flight()).finish_non_exhaustive()
    }
}

/// Bits of a mux id that name a slot: 2^20 calls, which is the most that `Limits::calls_out_max` can be, in any of 16
/// shards.
const PLACE_BITS: u32 = 24;
/// An answer of more bytes is copied before the lock is taken, on which callers wait.
const LOCKED_COPY_MAX: usize = 4 << 10;
const SHARDS_MAX: usize = 16;
/// Calls that a shard claims at once: few beside the default limit, many beside one.
const CLAIM: usize = 64;

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;

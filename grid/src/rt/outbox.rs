//! Encoded frames on their way to the writer, bounded in bytes.

use std::sync::PoisonError;
use std::task::Waker;

use tokio::sync::{Semaphore, SemaphorePermit, TryAcquireError};

use super::bulk::{Bulk, Large};
use super::hand::Hand;
use super::lane::{Cost, Lane};
use super::sleeper::{Sleep, Sleeper, Until};
use super::sync::{Mutex, MutexGuard};
use super::writer::WRITE_BYTES;
use crate::spare;
use crate::wire::{EncodedFrame, Pack};

/// What waits to be written on one link. Callers and handlers put frames in and wait for room; the driver takes them out.
///
/// There are two lanes. Small frames are copied one behind the other, and are written in their order as soon as may be;
/// large ones wait call by call, and go one by one between them. So what is small waits for one large frame at most. All
/// frames of a call go in the order in which they came, also if they are of both kinds.
///
/// Room is counted by semaphores of bytes, one for each lane, so waiting is fair and cancel safe; frames that must not
/// wait (pongs, refusals) have a budget of their own.
#[derive(Debug)]
pub(crate) struct Outbox {
    queue: Mutex<Queue>,
    prompt: Space,
    bulk: Space,
    control_bytes_max: usize,
}

#[derive(Debug)]
struct Space {
    room: Semaphore,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Queue {
    /// Pings and pongs of the link, which belong to no call and go before all else.
    first: Pack,
    prompt: Pack,
    /// Bytes that were ever put into the prompt lane.
    prompt_position: u64,
    /// What is given back when the frames of the prompt lane are written.
    prompt_cost: Cost,
    bulk: Bulk,
    control_bytes: usize,
    owed_bytes: usize,
    /// Bytes that the writer has taken and not put into a write.
    held: usize,
    state: State,
    driver: Sleeper,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    /// Takes nothing more; what is in it is still to be written.
    Finishing,
    Closed,
}

/// Room for a frame that is not queued yet. Dropped, it is given back.
#[derive(Debug)]
pub(crate) struct Room<'a> {
    outbox: &'a Outbox,
    cost: Cost,
    permit: SemaphorePermit<'a>,
}

impl Room<'_> {
    /// Queues the frame. A stream may have to change lanes while it waits for room; the room of one is good for the other.
    pub(crate) fn push(self, frame: EncodedFrame, lane: Lane) -> Result<Queued, Closed> {
        self.permit.forget();
        self.outbox.enqueue(frame, lane, self.cost)
    }
}

/// What waits with a frame that was queued, in its lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Queued {
    Little,
    /// Enough that whoever has more to queue had better let the driver write it first.
    Much,
}

/// Why there is no room now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoRoom {
    Closed,
    Full,
}

/// The link is gone or going: nothing can be sent on it any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Closed;

/// Where a control frame goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    First,
    InOrder(Lane),
}

/// Why a control frame was not queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ControlRefused {
    Closed,
    /// The peer provokes more than it reads.
    Overflow,
}

/// Why a frame was not queued at once.
#[derive(Debug)]
pub(crate) enum TryPush {
    Closed,
    /// The frame comes back, to be pushed with waiting.
    Full(EncodedFrame),
}

/// What the driver finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    Some,
    None,
    /// Nothing, and nothing will come.
    Finished,
}

impl Outbox {
    pub(crate) fn new(bytes_max: usize, control_bytes_max: usize) -> Self {
        let space = |bytes_max| Space { room: Semaphore::new(bytes_max), bytes_max };
        let prompt = bytes_max / PROMPT_SHARE;
        Self { queue: Mutex::default(), prompt: space(prompt), bulk: space(bytes_max - prompt), control_bytes_max }
    }

    /// Queues a frame if there is room now.
    pub(crate) fn try_push(&self, frame: EncodedFrame, lane: Lane) -> Result<(), TryPush> {
        match self.try_room(frame.len(), lane) {
            Ok(room) => room.push(frame, lane).map(|_| ()).map_err(|Closed| TryPush::Closed),
            Err(NoRoom::Full) => Err(TryPush::Full(frame)),
            Err(NoRoom::Closed) => Err(TryPush::Closed),
        }
    }

    /// Room for a frame of so many bytes, if there is some now.
    pub(crate) fn try_room(&self, len: usize, lane: Lane) -> Result<Room<'_>, NoRoom> {
        let (space, bytes) = self.space_for(len, lane);
        match space.room.try_acquire_many(bytes) {
            Ok(permit) => Ok(self.granted(permit, lane)),
            Err(TryAcquireError::NoPermits) => Err(NoRoom::Full),
            Err(TryAcquireError::Closed) => Err(NoRoom::Closed),
        }
    }

    pub(crate) fn control_bytes_max(&self) -> usize {
        self.control_bytes_max
    }

    /// Waits for room for a frame of so many bytes.
    ///
    /// # Cancel safety
    /// Dropped before its end, it has taken none.
    pub(crate) async fn room(&self, len: usize, lane: Lane) -> Result<Room<'_>, Closed> {
        let (space, bytes) = self.space_for(len, lane);
        let permit = space.room.acquire_many(bytes).await.map_err(|_| Closed)?;
        Ok(self.granted(permit, lane))
    }

    /// Queues a small frame of a call of ours that must not wait and that no peer provoked: a cancellation, a ping.
    ///
    /// There is no limit here, as others bound them. There are at most as many cancellations as calls were let in: those
    /// in flight, and those whose requests there was room for since the writer wrote last. Pings come every few seconds.
    pub(crate) fn push_own(&self, frame: EncodedFrame, lane: Lane) {
        // On a link that is gone there is nothing to say.
        let _gone: Result<Queued, Closed> = self.enqueue(frame, lane, Cost::default());
    }

    /// Queues a frame that must not wait. Pings and pongs of the link, which belong to no call, go before all else, so
    /// that a peer is not taken for dead because of what is queued.
    pub(crate) fn push_control(&self, frame: EncodedFrame, place: Place) -> Result<(), ControlRefused> {
        let mut queue = self.lock();
        if queue.state != State::Open {
            return Err(ControlRefused::Closed);
        }
        if queue.control_bytes + frame.len() > self.control_bytes_max {
            return Err(ControlRefused::Overflow);
        }
        queue.control_bytes += frame.len();
        let cost = Cost { control: frame.len(), ..Cost::default() };
        let waker = match place {
            Place::First => {
                queue.first.push(frame.as_bytes());
                queue.prompt_cost += cost;
                spare::keep(frame);
                queue.driver.wake_for_frames()
            }
            Place::InOrder(lane) => queue.put(frame, lane, cost),
        };
        drop(queue);
        waker.into_iter().for_each(Waker::wake);
        Ok(())
    }

    /// Queues a small frame that must not wait and is for something that the peer did: credits for its items, the end of
    /// its call. One that knows of credits it has not read could bring about any number of them.
    pub(crate) fn push_owed(&self, frame: EncodedFrame, lane: Lane) -> Result<(), ControlRefused> {
        let mut queue = self.lock();
        if queue.state != State::Open {
            return Err(ControlRefused::Closed);
        }
        if queue.owed_bytes + frame.len() > self.control_bytes_max.saturating_mul(OWED) {
            return Err(ControlRefused::Overflow);
        }
        queue.owed_bytes += frame.len();
        let cost = Cost { owed: frame.len(), ..Cost::default() };
        let waker = queue.put(frame, lane, cost);
        drop(queue);
        waker.into_iter().for_each(Waker::wake);
        Ok(())
    }

    /// Takes what is next out, once what was taken before is put into a write.
    ///
    /// That is all of the prompt lane, which gives its room back when it is put into writes, and one large frame that may go
    /// when `bytes` of what is held have been put into the next write.
    pub(crate) fn take(&self, bytes: usize, hand: &mut Hand) -> Taken {
        let mut free = Cost::default();
        let mut queue = self.lock();
        if hand.first.is_empty() {
            hand.first.clear();
            std::mem::swap(&mut queue.first, &mut hand.first);
        }
        if hand.prompt.is_empty() {
            free += std::mem::take(&mut hand.prompt_cost);
            hand.prompt.clear();
            std::mem::swap(&mut queue.prompt, &mut hand.prompt);
            hand.prompt_cost = std::mem::take(&mut queue.prompt_cost);
        }
        if hand.large.is_none() {
            let waits = queue.prompt.bytes() + hand.prompt.bytes().saturating_sub(bytes);
            let gone = queue.prompt_position.saturating_sub(u64::try_from(waits).unwrap_or(u64::MAX));
            if let Some(large) = queue.bulk.pop(gone) {
                hand.large = Some(large.frame);
                free += large.cost;
            }
        }
        queue.control_bytes = queue.control_bytes.saturating_sub(free.control);
        queue.owed_bytes = queue.owed_bytes.saturating_sub(free.owed);
        queue.held = hand.first.bytes() + hand.prompt.bytes() + hand.large.as_ref().map_or(0, EncodedFrame::len);
        let (state, rest) = (queue.state, queue.bulk.is_empty());
        drop(queue);
        self.prompt.room.add_permits(free.prompt);
        self.bulk.room.add_permits(free.bulk);
        match (hand.is_empty() && rest, state) {
            (false, _) => Taken::Some,
            (true, State::Open) => Taken::None,
            (true, State::Finishing | State::Closed) => Taken::Finished,
        }
    }

    /// The driver looks at the queue, and need not be woken for what comes in meanwhile.
    pub(crate) fn awake(&self) {
        let before = std::mem::take(&mut self.lock().driver);
        drop(before);
    }

    /// The driver has nothing to do, and is to be woken by what it waits for, and in any case by the end of the outbox.
    pub(crate) fn sleep(&self, until: Until, waker: &Waker) -> Sleep {
        let driver = match until {
            Until::Frames => Sleeper::Asleep(waker.clone()),
            Until::End => Sleeper::Blocked(waker.clone()),
        };
        let mut queue = self.lock();
        if queue.state == State::Closed || (until == Until::Frames && queue.is_wanted()) {
            return Sleep::TooLate;
        }
        let before = std::mem::replace(&mut queue.driver, driver);
        drop(queue);
        drop(before);
        Sleep::Allowed
    }

    /// Something waits that is less than a write.
    pub(crate) fn is_small(&self) -> bool {
        let queue = self.lock();
        let bytes = queue.first.bytes() + queue.prompt.bytes() + queue.bulk.bytes();
        queue.state == State::Open && bytes > 0 && bytes < WRITE_BYTES
    }

    /// Gives back what memory is not in use just now.
    pub(crate) fn shrink(&self, hand: &mut Hand) {
        let queue = &mut *self.lock();
        for pack in [&mut queue.first, &mut queue.prompt, &mut hand.first, &mut hand.prompt] {
            pack.shrink();
        }
    }

    /// Wakes the driver for another reason than a frame.
    pub(crate) fn wake(&self) {
        let waker = self.lock().driver.wake();
        waker.into_iter().for_each(Waker::wake);
    }

    /// Bytes of the frames that wait.
    pub(crate) fn queued_bytes(&self) -> usize {
        let queue = self.lock();
        queue.held + queue.first.bytes() + queue.prompt.bytes() + queue.bulk.bytes()
    }

    /// Takes nothing more in; what waits is still written.
    pub(crate) fn finish(&self) {
        self.end(State::Finishing);
    }

    /// Throws away what waits; whoever waits for room gets [`Closed`].
    pub(crate) fn close(&self) {
        self.end(State::Closed);
    }

    fn end(&self, state: State) {
        let mut queue = self.lock();
        let waker = queue.driver.wake();
        let mut thrown_away = Queue::default();
        if state == State::Closed {
            std::mem::swap(&mut *queue, &mut thrown_away);
            queue.state = State::Closed;
        } else if queue.state == State::Open {
            queue.state = state;
        }
        drop(queue);
        drop(thrown_away);
        self.prompt.room.close();
        self.bulk.room.close();
        waker.into_iter().for_each(Waker::wake);
    }

    fn enqueue(&self, frame: EncodedFrame, lane: Lane, cost: Cost) -> Result<Queued, Closed> {
        let mut queue = self.lock();
        if queue.state != State::Open {
            return Err(Closed);
        }
        let (bulk, waker) = (queue.bulk.bytes(), queue.put(frame, lane, cost));
        let waits = match queue.bulk.bytes() > bulk {
            true => queue.bulk.bytes(),
            false => queue.prompt.bytes(),
        };
        let queued = match waits < MUCH {
            true => Queued::Little,
            false => Queued::Much,
        };
        drop(queue);
        waker.into_iter().for_each(Waker::wake);
        Ok(queued)
    }

    /// A frame larger than all the room that its lane has takes all of it.
    fn space_for(&self, len: usize, lane: Lane) -> (&Space, u32) {
        let space = match lane {
            Lane::Prompt => &self.prompt,
            Lane::Bulk { .. } => &self.bulk,
        };
        let bytes = len.min(space.bytes_max);
        (space, u32::try_from(bytes).expect("Limits::outbox_bytes_max is at most 1 GiB"))
    }

    fn granted<'a>(&'a self, permit: SemaphorePermit<'a>, lane: Lane) -> Room<'a> {
        let bytes = permit.num_permits();
        let cost = match lane {
            Lane::Prompt => Cost { prompt: bytes, ..Cost::default() },
            Lane::Bulk { .. } => Cost { bulk: bytes, ..Cost::default() },
        };
        Room { outbox: self, cost, permit }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// Gives who is to be woken once the lock is released.
    fn put(&mut self, frame: EncodedFrame, lane: Lane, cost: Cost) -> Option<Waker> {
        let lane = match lane {
            // None of its call is left that it would overtake: what the writer has taken it writes before it takes more.
            Lane::Bulk { mux } if !self.bulk.has(mux) => Lane::of(frame.len(), mux),
            lane => lane,
        };
        match lane {
            Lane::Prompt => {
                let before = self.prompt.bytes();
                self.prompt.push(frame.as_bytes());
                let bytes = self.prompt.bytes() - before;
                self.prompt_position += u64::try_from(bytes).unwrap_or(u64::MAX);
                self.prompt_cost += cost;
                spare::keep(frame);
            }
            Lane::Bulk { mux } => self.bulk.push(mux, Large { frame, cost, after: self.prompt_position }),
        }
        self.driver.wake_for_frames()
    }

    /// There is something for the driver.
    fn is_wanted(&self) -> bool {
        !self.first.is_empty() || !self.prompt.is_empty() || !self.bulk.is_empty() || self.state != State::Open
    }
}

/// Half a write: the system takes one half while the other is put together.
const MUCH: usize = WRITE_BYTES / 2;
/// The part of the room that is for small frames: a quarter, 1 MiB by default, thousands of them.
const PROMPT_SHARE: usize = 4;
/// Budgets of control frames that credits and ends may take: 4 MiB by default, 150,000 of them. A v1 peer that does not
/// read for a moment has a credit waiting for each item of all its windows.
const OWED: usize = 4;

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;

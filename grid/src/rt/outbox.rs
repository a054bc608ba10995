//! Encoded frames on their way to the writer, bounded in bytes.

use std::collections::VecDeque;
use std::sync::PoisonError;
use std::task::Context;

use tokio::sync::{Semaphore, SemaphorePermit, TryAcquireError};

use super::sync::{AtomicWaker, Mutex, MutexGuard};
use crate::wire::EncodedFrame;

/// What waits to be written on one link, in order. Callers and handlers put frames in and wait for room; the driver
/// takes them out.
///
/// Room is counted by a semaphore of bytes, so waiting is fair and cancel safe; frames that must not wait (pongs,
/// refusals) have a budget of their own.
#[derive(Debug)]
pub(crate) struct Outbox {
    queue: Mutex<Queue>,
    room: Semaphore,
    writer: AtomicWaker,
    bytes_max: usize,
    control_bytes_max: usize,
}

#[derive(Debug, Default)]
struct Queue {
    frames: VecDeque<Queued>,
    control_bytes: usize,
    state: State,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    /// Takes nothing more; what is in it is still to be written.
    Finishing,
    Closed,
}

#[derive(Debug)]
struct Queued {
    frame: EncodedFrame,
    cost: Cost,
}

/// What is given back when a frame is taken out.
#[derive(Debug, Clone, Copy)]
enum Cost {
    /// Bytes of room.
    Room(u32),
    /// Bytes of the budget for frames that do not wait.
    Control,
    Nothing,
}

/// Room for a frame that is not queued yet. Dropped, it is given back.
#[derive(Debug)]
pub(crate) struct Room<'a> {
    outbox: &'a Outbox,
    bytes: u32,
    permit: SemaphorePermit<'a>,
}

impl Room<'_> {
    pub(crate) fn push(self, frame: EncodedFrame) -> Result<(), Closed> {
        self.permit.forget();
        self.outbox.enqueue(frame, Cost::Room(self.bytes))
    }
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
    InOrder,
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
        Self {
            queue: Mutex::default(),
            room: Semaphore::new(bytes_max),
            writer: AtomicWaker::new(),
            bytes_max,
            control_bytes_max,
        }
    }

    /// Queues a frame if there is room now.
    pub(crate) fn try_push(&self, frame: EncodedFrame) -> Result<(), TryPush> {
        match self.try_room(frame.len()) {
            Ok(room) => room.push(frame).map_err(|Closed| TryPush::Closed),
            Err(NoRoom::Full) => Err(TryPush::Full(frame)),
            Err(NoRoom::Closed) => Err(TryPush::Closed),
        }
    }

    /// Room for a frame of so many bytes, if there is some now.
    pub(crate) fn try_room(&self, len: usize) -> Result<Room<'_>, NoRoom> {
        let bytes = self.room_for(len);
        match self.room.try_acquire_many(bytes) {
            Ok(permit) => Ok(Room { outbox: self, bytes, permit }),
            Err(TryAcquireError::NoPermits) => Err(NoRoom::Full),
            Err(TryAcquireError::Closed) => Err(NoRoom::Closed),
        }
    }

    /// Queues a frame, waiting for room.
    ///
    /// # Cancel safety
    /// Dropped before its end, it has queued nothing.
    pub(crate) async fn push(&self, frame: EncodedFrame) -> Result<(), Closed> {
        self.room(frame.len()).await?.push(frame)
    }

    /// Waits for room for a frame of so many bytes.
    pub(crate) async fn room(&self, len: usize) -> Result<Room<'_>, Closed> {
        let bytes = self.room_for(len);
        let permit = self.room.acquire_many(bytes).await.map_err(|_| Closed)?;
        Ok(Room { outbox: self, bytes, permit })
    }

    /// Queues a small frame of a call of ours that must not wait and that no peer provoked: a cancellation, credits, a
    /// ping.
    ///
    /// There is no limit here, as others bound them. There are at most as many cancellations as calls were let in: those
    /// in flight, and those whose requests there was room for since the writer wrote last. Credits are for items that
    /// were read, of which no more come before their credits have gone out. Pings come every few seconds.
    pub(crate) fn push_own(&self, frame: EncodedFrame) {
        // On a link that is gone there is nothing to say.
        let _gone: Result<(), Closed> = self.enqueue(frame, Cost::Nothing);
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
        let queued = Queued { frame, cost: Cost::Control };
        match place {
            Place::First => queue.frames.push_front(queued),
            Place::InOrder => queue.frames.push_back(queued),
        }
        drop(queue);
        self.writer.wake();
        Ok(())
    }

    /// Wakes the driver when there is more to take, and when the outbox ends. To be called before [`take`](Self::take)
    /// at each poll, also at one that does not come to take anything: each wake-up uses the waker up.
    pub(crate) fn register(&self, cx: &Context<'_>) {
        self.writer.register(cx.waker());
    }

    /// Moves frames out until they are this many bytes or more.
    pub(crate) fn take(&self, bytes: usize, into: &mut Vec<EncodedFrame>) -> Taken {
        let mut queue = self.lock();
        let (mut taken, mut room) = (0, 0_usize);
        while taken < bytes {
            let Some(next) = queue.frames.pop_front() else { break };
            taken += next.frame.len();
            match next.cost {
                Cost::Room(bytes) => room += usize::try_from(bytes).unwrap_or(usize::MAX),
                Cost::Control => queue.control_bytes -= next.frame.len(),
                Cost::Nothing => {}
            }
            into.push(next.frame);
        }
        // Grown by a burst, it would keep its memory for as long as the link lives.
        if queue.frames.is_empty() && queue.frames.capacity() > QUEUE_KEPT {
            queue.frames = VecDeque::new();
        }
        let state = queue.state;
        drop(queue);
        self.room.add_permits(room);
        match (taken, state) {
            (0, State::Open) => Taken::None,
            (0, State::Finishing | State::Closed) => Taken::Finished,
            _ => Taken::Some,
        }
    }

    /// Bytes of the frames that wait.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.lock().frames.iter().map(|queued| queued.frame.len()).sum()
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
        let frames = if state == State::Closed { std::mem::take(&mut queue.frames) } else { VecDeque::new() };
        if queue.state != State::Closed {
            queue.state = state;
        }
        drop(queue);
        drop(frames);
        self.room.close();
        self.writer.wake();
    }

    fn enqueue(&self, frame: EncodedFrame, cost: Cost) -> Result<(), Closed> {
        let mut queue = self.lock();
        if queue.state != State::Open {
            return Err(Closed);
        }
        queue.frames.push_back(Queued { frame, cost });
        drop(queue);
        self.writer.wake();
        Ok(())
    }

    /// A frame larger than all the room there is takes all of it.
    fn room_for(&self, len: usize) -> u32 {
        u32::try_from(len.min(self.bytes_max)).expect("Limits::outbox_bytes_max is at most 1 GiB")
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Places of an empty queue that keep their memory: 64 frames, one full merge and some.
const QUEUE_KEPT: usize = 64;

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Poll, Waker};

    use super::*;
    use crate::wire::{Flags, Header, Op, PayloadBuf, Trailer};

    fn frame(len: usize) -> EncodedFrame {
        let payload = PayloadBuf::copy_from(&vec![7; len]);
        payload.seal(Header::new(Op::Request, 1, Flags::NONE), &Trailer::default(), None)
    }

    fn take_all(outbox: &Outbox) -> usize {
        let mut frames = Vec::new();
        outbox.take(usize::MAX, &mut frames);
        frames.len()
    }

    #[test]
    fn senders_wait_for_room_and_get_it_in_order() {
        let outbox = Outbox::new(100, 100);
        let cx = &mut Context::from_waker(Waker::noop());
        outbox.try_push(frame(80)).unwrap();
        let mut large = pin!(outbox.push(frame(60)));
        assert!(large.as_mut().poll(cx).is_pending());
        let mut small = pin!(outbox.push(frame(1)));
        assert!(small.as_mut().poll(cx).is_pending(), "a small frame does not overtake");
        assert_eq!(take_all(&outbox), 1);
        assert_eq!(large.poll(cx), Poll::Ready(Ok(())));
        assert_eq!(small.poll(cx), Poll::Ready(Ok(())));
        assert_eq!(take_all(&outbox), 2);
    }

    #[test]
    fn a_dropped_sender_leaves_nothing_behind() {
        let outbox = Outbox::new(100, 100);
        outbox.try_push(frame(80)).unwrap();
        {
            let mut waiting = pin!(outbox.push(frame(60)));
            assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        assert_eq!(take_all(&outbox), 1);
        assert_eq!(outbox.room.available_permits(), 100);
        assert_eq!(take_all(&outbox), 0);
    }

    #[test]
    fn a_frame_larger_than_the_room_goes_alone() {
        let outbox = Outbox::new(100, 100);
        outbox.try_push(frame(1000)).unwrap();
        assert!(matches!(outbox.try_push(frame(1)), Err(TryPush::Full(_))));
        assert_eq!(take_all(&outbox), 1);
        assert_eq!(outbox.room.available_permits(), 100);
    }

    #[test]
    fn closing_ends_those_who_wait_and_finishing_keeps_what_is_queued() {
        let outbox = Outbox::new(100, 100);
        outbox.try_push(frame(80)).unwrap();
        let mut waiting = pin!(outbox.push(frame(60)));
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(waiting.as_mut().poll(cx).is_pending());
        outbox.finish();
        assert_eq!(waiting.poll(cx), Poll::Ready(Err(Closed)));
        assert_eq!(take_all(&outbox), 1);
        assert_eq!(outbox.take(1, &mut Vec::new()), Taken::Finished);
        assert_eq!(outbox.push_control(frame(1), Place::InOrder), Err(ControlRefused::Closed));
    }

    #[test]
    fn control_frames_do_not_wait_and_have_a_limit() {
        let outbox = Outbox::new(10, 64);
        outbox.try_push(frame(10)).unwrap();
        assert_eq!(outbox.push_control(frame(20), Place::InOrder), Ok(()));
        assert_eq!(outbox.push_control(frame(20), Place::InOrder), Ok(()));
        assert_eq!(outbox.push_control(frame(20), Place::InOrder), Err(ControlRefused::Overflow));
        assert_eq!(take_all(&outbox), 3);
        assert_eq!(outbox.push_control(frame(20), Place::InOrder), Ok(()));
    }
}

//! One end of a stream: what the driver, its reader and its senders share.

use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::ended::Ended;
use super::inflow::Inflow;
use super::lane::Lane;
use super::link::Link;
use super::message::Message;
use super::opening::Opening;
use super::outbox::Queued;
use super::sync::{AtomicWaker, Mutex, MutexGuard, Semaphore};
use super::wakes::{Wakes, ignoring_panics};
use crate::error::Refusal;
use crate::limits::Timeouts;
use crate::proto::{
    Ahead, Batch, End, Event, Memory, Moved, Outcome, Over, Pulse, PulseBeat, Receiving, Sending, Take, Window,
    held_bytes,
};
use crate::windows::Windows;
use crate::wire::{Capabilities, Flags, Frame, Op, RefusalReason, Trailer};

/// One end of a stream. Held by the halves that its user has, and by the table or the running calls of its link while
/// frames can come for it.
///
/// Two locks, never one inside the other: `received`, between the driver and the reader, and `sending`, between the
/// senders, for as long as one frame is sealed and queued, so that its number is its place. Credits are a
/// semaphore: the driver adds, senders wait. It is closed when the call has ended.
#[derive(Debug)]
pub(crate) struct Stream {
    end: End,
    pub(crate) mux: u64,
    /// When its call ends at the latest.
    pub(crate) deadline: Option<Instant>,
    received: Mutex<Received>,
    readable: AtomicWaker,
    sending: Mutex<Outgoing>,
    pub(super) credits: Semaphore,
    /// Told when the call has ended, and when items were taken: for senders that wait for other things than credits.
    pub(super) changed: Notify,
    /// Credits of an opening that does not count them.
    credits_default: u32,
    /// Items that the other end may send to begin with.
    pub(super) granted: u32,
    inflow: Arc<Inflow>,
}

#[derive(Debug)]
struct Received {
    receiving: Receiving<Ended>,
    pulse: Pulse,
}

/// What goes out, and the lane that it takes: from the first large frame on, that of the large ones, so that all stay in
/// order.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) sending: Sending,
    pub(super) lane: Lane,
    /// Towards a grid node, which counts on it.
    pub(super) ahead: Option<Ahead>,
    /// Enough was queued that the next sender lets the driver write it first.
    pub(super) queued: Queued,
}

/// What a reader gets.
#[derive(Debug)]
pub(crate) enum Next {
    Item(Bytes),
    /// Once, at the end.
    Over(Over<Ended>),
    /// After that.
    Told,
}

/// What a frame means beyond its stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    GoesOn,
    /// To be answered with a pong.
    Ping,
    /// The call has ended. The remote knows, or need not.
    Ended,
    /// The call has ended, and the remote is to be told.
    Tell,
    /// The caller gave it up.
    Cancelled,
    /// The caller broke the rules; to be refused with these words.
    Refuse(RefusalReason, Box<str>),
}

impl Stream {
    /// `windows` are those of the handler. A handler's end may send at once what the caller granted; a caller's end
    /// waits until the stream is opened.
    pub(crate) fn new(end: End, mux: u64, link: &Link, opening: &Opening, timeouts: &Timeouts) -> Self {
        let Opening { windows, granted, credits, next_seq, deadline } = opening;
        let (window, credits_default, dead_after) = match end {
            End::Caller => (windows.outbound, windows.inbound, timeouts.stream_dead_after),
            End::Handler => (windows.inbound, windows.outbound, timeouts.stream_abandoned_after),
        };
        let receiving = Receiving::new(end, Window::new(link.capabilities, window, *granted), *next_seq);
        let pulse = Pulse::new(end, timeouts.stream_ping_interval, dead_after, Instant::now().into_std());
        let credits = match end {
            End::Caller => 0,
            End::Handler => credits.map_or(credits_default, |credits| credits.min(Windows::MAX)),
        };
        Self {
            end,
            mux,
            deadline: *deadline,
            received: Mutex::new(Received { receiving, pulse }),
            readable: AtomicWaker::new(),
            sending: Mutex::new(Outgoing {
                sending: Sending::new(end, mux, link.crc),
                lane: Lane::Prompt,
                ahead: link.capabilities.contains(Capabilities::CREDITS).then(Ahead::default),
                queued: Queued::Little,
            }),
            credits: Semaphore::new(usize::try_from(credits).unwrap_or(0)),
            changed: Notify::new(),
            credits_default,
            granted: *granted,
            inflow: link.inflow.enter(),
        }
    }

    /// Whether this end has items to send. A handler always may: its answer goes the same way.
    pub(crate) fn sends_items(&self) -> bool {
        self.end == End::Handler || self.credits_default > 0
    }

    pub(crate) fn end(&self) -> End {
        self.end
    }

    /// A frame with the id of this stream. Runs in the driver, and waits for nothing. Its reader is left in `wakes`.
    pub(crate) fn on_frame(
        &self,
        frame: &Frame<'_>,
        message: &Message,
        peer: Capabilities,
        wakes: &mut Wakes,
    ) -> Verdict {
        let mut received = self.received();
        let event = received.receiving.on_frame(frame, |payload, held| {
            let room = self.inflow.add(held_bytes(payload.len()), held);
            room.is_ok().then(|| message.keep(payload))
        });
        let (mut credits, mut taken) = (0, 0);
        let verdict = match event {
            Event::Nothing => return Verdict::GoesOn,
            Event::Opened(granted) => {
                credits = granted.unwrap_or(self.credits_default);
                Verdict::GoesOn
            }
            Event::Credits(granted) => {
                (credits, taken) = (granted, granted);
                Verdict::GoesOn
            }
            Event::Readable => Verdict::GoesOn,
            Event::Ping => return Verdict::Ping,
            Event::Ended(outcome) => {
                let verdict = match &outcome {
                    Some(Outcome::Violation(_)) => Verdict::Tell,
                    // As v1 does it; a grid node knows by itself.
                    Some(Outcome::Refused(..)) if !peer.contains(Capabilities::CREDITS) => Verdict::Tell,
                    Some(_) | None => Verdict::Ended,
                };
                received.receiving.on_over(self.over(frame, outcome, message));
                verdict
            }
            Event::Cancelled => Verdict::Cancelled,
            Event::Violation(text) => Verdict::Refuse(RefusalReason::Unspecified, text),
            Event::Overflow => self.overflown(&mut received.receiving),
        };
        drop(received);
        if taken > 0 {
            self.on_taken(taken);
        }
        self.add_credits(credits);
        match verdict {
            Verdict::Ended | Verdict::Tell => self.tell_over(),
            Verdict::GoesOn | Verdict::Ping | Verdict::Cancelled | Verdict::Refuse(..) => {
                self.readable.take().into_iter().for_each(|waker| wakes.add(waker));
            }
        }
        verdict
    }

    fn over(&self, frame: &Frame<'_>, outcome: Option<Outcome<'_>>, message: &Message) -> Over<Ended> {
        let Some(outcome) = outcome else { return Over::Finished };
        // A handler whose deadline has passed is dropped without a word of why.
        let wordless = frame.head.op == Op::DisconnectClientMux && !frame.head.flags.contains(Flags::ERROR);
        match wordless && self.deadline.is_some_and(|deadline| deadline <= Instant::now() + DEADLINE_GRACE) {
            true => Over::Because(Ended::Deadline),
            // It may wait for its reader, as items do.
            false => Over::Because(Ended::from_outcome(outcome, |payload| message.keep(payload))),
        }
    }

    /// The other end has taken so many items.
    fn on_taken(&self, items: u32) {
        let mut out = self.sending();
        if let Some(ahead) = &mut out.ahead {
            let was_too_far = ahead.is_too_far();
            ahead.on_credits(items);
            drop(out);
            if was_too_far {
                self.changed.notify_waiters();
            }
        }
    }

    fn add_credits(&self, credits: u32) {
        // More than any window is more than this side asked for; v1 overlooks it, too.
        let room = usize::try_from(Windows::MAX).unwrap_or(0).saturating_sub(self.credits.available_permits());
        self.credits.add_permits(room.min(usize::try_from(credits).unwrap_or(room)));
    }

    fn overflown(&self, receiving: &mut Receiving<Ended>) -> Verdict {
        const TEXT: &str = "more bytes of items are unread than may be";
        match self.end {
            End::Caller => {
                receiving.on_over(Over::Because(Ended::Refused(Refusal::new(RefusalReason::Overloaded, TEXT))));
                Verdict::Tell
            }
            End::Handler => Verdict::Refuse(RefusalReason::Overloaded, TEXT.into()),
        }
    }

    /// The call has ended, for a reason that came from no frame. False if a reader knows of another end.
    pub(crate) fn close(&self, why: Ended) -> bool {
        let first = self.received().receiving.on_over(Over::Because(why));
        self.tell_over();
        first
    }

    /// Lets senders and the reader know that the call has ended.
    fn tell_over(&self) {
        ignoring_panics(|| self.credits.close());
        ignoring_panics(|| self.changed.notify_waiters());
        ignoring_panics(|| self.readable.wake());
    }

    /// The opening is queued. Until then the remote is told nothing.
    pub(crate) fn on_sent(&self, lane: Lane) {
        let mut out = self.sending();
        out.sending.on_sent();
        out.lane = lane;
    }

    /// The call has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.credits.is_closed()
    }

    /// The caller gives the call up, and tells the remote. False if it had ended before.
    pub(crate) fn cancel(&self, link: &Link, why: Ended) -> bool {
        // A sender may know of the end of its link before the stream does, and drop its half.
        let why = link.end().map_or(why, |end| Ended::Link(end.clone()));
        let first = self.close(why);
        if first {
            link.table.remove(self.mux);
            self.send_disconnect(link);
        }
        first
    }

    /// Waits for the remote's answer to the opening.
    pub(crate) fn poll_opened(&self, cx: &Context<'_>) -> Poll<Result<(), Over<Ended>>> {
        let opened = || {
            let mut received = self.received();
            match received.receiving.is_opened() {
                true => Some(Ok(())),
                false => received.receiving.take_refusal().map(Err),
            }
        };
        self.poll_received(cx, opened)
    }

    /// The next item, out of the batch of its reader, or what came since. Credits go back to the other end.
    pub(crate) fn poll_next(&self, link: &Link, batch: &mut Batch, cx: &Context<'_>) -> Poll<Next> {
        if let Some(item) = batch.next() {
            if self.is_due(batch) {
                let credits = self.settle(&mut self.received(), batch);
                self.grant(link, credits);
            }
            return Poll::Ready(Next::Item(item));
        }
        let next = || {
            let mut received = self.received();
            let mut credits = self.settle(&mut received, batch);
            let next = match batch.next() {
                Some(item) => {
                    if self.is_due(batch) {
                        credits += self.settle(&mut received, batch);
                    }
                    Some(Next::Item(item))
                }
                None => match received.receiving.take_over() {
                    Take::Over(over) => Some(Next::Over(over)),
                    Take::Told => Some(Next::Told),
                    Take::Wait => None,
                },
            };
            drop(received);
            self.grant(link, credits);
            next
        };
        self.poll_received(cx, next)
    }

    /// What was given out is to be told: with little memory, each last item of what there is.
    fn is_due(&self, batch: &Batch) -> bool {
        batch.is_due() || (batch.is_empty() && self.inflow.memory() == Memory::Scarce)
    }

    fn settle(&self, received: &mut Received, batch: &mut Batch) -> u32 {
        received.receiving.settle(batch, |bytes| {
            self.inflow.sub(bytes);
            self.inflow.memory()
        })
    }

    fn poll_received<T>(&self, cx: &Context<'_>, mut take: impl FnMut() -> Option<T>) -> Poll<T> {
        if let Some(taken) = take() {
            return Poll::Ready(taken);
        }
        self.readable.register(cx.waker());
        // What came in between woke nobody.
        take().map_or(Poll::Pending, Poll::Ready)
    }

    /// The user has dropped the half that reads, and the batch of it.
    pub(crate) fn discard(&self) {
        let (dropped, bytes) = self.received().receiving.on_reader_gone();
        self.inflow.sub(bytes);
        drop(dropped);
    }

    /// Pings the other end if it is time to. Gives whether it is still there.
    pub(crate) fn on_tick(&self, link: &Link, now: std::time::Instant, moved: Moved) -> PulseBeat {
        if !self.sending().sending.is_known() {
            return PulseBeat::Nothing;
        }
        let counted = link.capabilities.contains(Capabilities::CREDITS);
        let mut received = self.received();
        let Received { receiving, pulse } = &mut *received;
        let heard = match (receiving.heard(), moved) {
            // A grid node forgets no stream of a link that lives; its pongs may be queued for long.
            (Moved::Nothing, Moved::Something) if counted => Moved::Something,
            (heard, _) => heard,
        };
        let beat = pulse.on_tick(heard, now);
        drop(received);
        if beat == PulseBeat::Ping {
            let mut out = self.sending();
            if let Some(header) = out.sending.on_ping() {
                link.send_own(header, &Trailer::default(), out.lane);
            }
        }
        beat
    }

    fn received(&self) -> MutexGuard<'_, Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn sending(&self) -> MutexGuard<'_, Outgoing> {
        self.sending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.discard();
        self.inflow.leave();
    }
}

/// Two ends of a stream that act on one deadline are at most about this far apart: the time that the request travelled, less
/// that of what was said at its end.
pub(crate) const DEADLINE_GRACE: Duration = Duration::from_millis(10);

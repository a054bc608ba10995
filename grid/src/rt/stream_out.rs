//! What one end of a stream sends: items, credits, ends.

use std::pin::pin;

use tokio::sync::{SemaphorePermit, TryAcquireError};

use super::lane::Lane;
use super::link::Link;
use super::outbox::{Closed, NoRoom, Queued, Room};
use super::stream::{Outgoing, Stream};
use super::sync::MutexGuard;
use crate::proto::{Ahead, End, Reply, Size};
use crate::wire::{Capabilities, EncodedFrame, Header, Op, PayloadBuf, Pong, RefusalReason, Trailer};

/// What a sender waits for in vain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StreamEnded;

/// Why an item was not sent.
#[derive(Debug)]
enum Refused {
    Ended,
    /// The item comes back.
    Wait(PayloadBuf, Wait),
}

/// What an item has to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// Others are to have their turn, the driver among them: what is queued is written while the next items are made.
    Writer,
    /// The other end has not taken enough of what was sent.
    OtherEnd,
    Credit,
    Room,
}

/// Why an item was not sent at once.
#[derive(Debug)]
pub(crate) enum NotSent {
    Ended,
    /// The item comes back, to be sent with waiting.
    Wait(PayloadBuf),
}

impl From<Closed> for StreamEnded {
    fn from(Closed: Closed) -> Self {
        Self
    }
}

impl Stream {
    /// Sends an item, if need be waiting for a credit and for room.
    ///
    /// # Cancel safety
    /// Dropped before its end, it has sent nothing.
    pub(crate) async fn send(&self, link: &Link, mut item: PayloadBuf) -> Result<(), StreamEnded> {
        let (mut credit, mut room) = (None, None);
        loop {
            let wait;
            (item, wait) = match self.attempt(link, item, credit.take(), room.take()) {
                Ok(()) => return Ok(()),
                Err(Refused::Ended) => return Err(StreamEnded),
                Err(Refused::Wait(item, wait)) => (item, wait),
            };
            match wait {
                Wait::Writer => tokio::task::yield_now().await,
                Wait::OtherEnd => self.not_too_far().await?,
                Wait::Credit => credit = Some(self.credits.acquire().await.map_err(|_| StreamEnded)?),
                Wait::Room => room = Some(self.room(link, item.len()).await?),
            }
        }
    }

    /// Sends an item if there are a credit and room for it now.
    pub(crate) fn try_send(&self, link: &Link, item: PayloadBuf) -> Result<(), NotSent> {
        match self.attempt(link, item, None, None) {
            Ok(()) => Ok(()),
            Err(Refused::Ended) => Err(NotSent::Ended),
            // It was asked once, and is not asked again.
            Err(Refused::Wait(item, Wait::Writer)) => self.try_send(link, item),
            Err(Refused::Wait(item, _)) => Err(NotSent::Wait(item)),
        }
    }

    /// Sends an item if all is there that it takes, or says what is to be waited for. What was waited for and is not used
    /// goes to the next one that waits for it.
    fn attempt(
        &self,
        link: &Link,
        item: PayloadBuf,
        credit: Option<SemaphorePermit<'_>>,
        room: Option<Room<'_>>,
    ) -> Result<(), Refused> {
        // Given back after the lock is, as that may wake somebody.
        let (mut credit, mut room) = (credit, room);
        let mut out = self.sending();
        // Looked at with the lock held: after its end nothing of a call goes out.
        if self.is_over() {
            return Err(Refused::Ended);
        }
        // Who has waited for a place has it.
        let waited = credit.is_some() || room.is_some();
        if std::mem::replace(&mut out.queued, Queued::Little) == Queued::Much && !waited {
            return Err(Refused::Wait(item, Wait::Writer));
        }
        if out.ahead.as_ref().is_some_and(Ahead::is_too_far) {
            return Err(Refused::Wait(item, Wait::OtherEnd));
        }
        if credit.is_none() {
            credit = match self.credits.try_acquire() {
                Ok(credit) => Some(credit),
                Err(TryAcquireError::NoPermits) => return Err(Refused::Wait(item, Wait::Credit)),
                Err(TryAcquireError::Closed) => return Err(Refused::Ended),
            };
        }
        if room.is_none() {
            let len = item.len() + FRAME_BYTES;
            room = match link.outbox.try_room(len, out.lane_of(len, self.mux)) {
                Ok(room) => Some(room),
                Err(NoRoom::Full) => return Err(Refused::Wait(item, Wait::Room)),
                Err(NoRoom::Closed) => return Err(Refused::Ended),
            };
        }
        let size = if item.is_empty() { Size::Empty } else { Size::Some };
        let header = out.sending.on_item(size).ok_or(Refused::Ended)?;
        let (Some(credit), Some(room)) = (credit.take(), room.take()) else { unreachable!("both were taken") };
        credit.forget();
        if let Some(ahead) = &mut out.ahead {
            ahead.on_item(item.len());
        }
        let queued = out.push(room, item.seal(header, &Trailer::default(), None));
        out.queued = queued.map_err(|StreamEnded| Refused::Ended)?;
        Ok(())
    }

    /// The caller's items have ended.
    ///
    /// # Cancel safety
    /// Dropped before its end, it has sent nothing.
    pub(crate) async fn finish(&self, link: &Link) -> Result<(), StreamEnded> {
        let room = self.room(link, 0).await?;
        let mut out = self.sending();
        let header = if self.credits.is_closed() { None } else { out.sending.on_finish() };
        let frame = PayloadBuf::with_capacity(0).seal(header.ok_or(StreamEnded)?, &Trailer::default(), None);
        out.push(room, frame)?;
        Ok(())
    }

    /// The lane of a frame of so many bytes.
    fn lane(&self, len: usize) -> Lane {
        self.sending().lane_of(len, self.mux)
    }

    /// Waits for room for a payload of so many bytes, for as long as the call goes on.
    async fn room<'a>(&self, link: &'a Link, len: usize) -> Result<Room<'a>, StreamEnded> {
        let len = len + FRAME_BYTES;
        let mut room = pin!(link.room(len, self.lane(len)));
        loop {
            let changed = self.changed.notified();
            if self.is_over() {
                return Err(StreamEnded);
            }
            tokio::select! {
                // Room that is there is taken; and loom needs the same order each time.
                biased;
                room = &mut room => return Ok(room?),
                () = changed => {}
            }
        }
    }

    /// Waits until the other end has taken enough of what was sent.
    async fn not_too_far(&self) -> Result<(), StreamEnded> {
        loop {
            let changed = self.changed.notified();
            if self.is_over() {
                return Err(StreamEnded);
            }
            if !self.sending().ahead.as_ref().is_some_and(Ahead::is_too_far) {
                return Ok(());
            }
            changed.await;
        }
    }

    /// Gives credits to the other end: a grid node counts those of one frame, to a v1 peer each is one.
    pub(super) fn grant(&self, link: &Link, credits: u32) {
        let counted = link.capabilities.contains(Capabilities::CREDITS);
        let (frames, trailer) = match counted {
            true => (credits.min(1), Trailer { credits: Some(credits), ..Trailer::default() }),
            false => (credits, Trailer::default()),
        };
        for _ in 0..frames {
            let mut out = self.sending();
            let Some(header) = out.sending.on_credits() else { return };
            let pushed = link.push_owed(header, &trailer, out.lane);
            drop(out);
            link.on_pushed(pushed);
        }
    }

    /// The handler has ended. To a v1 peer the answer is an item of its own, and the end needs a credit.
    pub(crate) async fn end_with(&self, link: &Link, reply: Reply, ready: impl FnOnce()) -> Result<(), StreamEnded> {
        let counted = link.capabilities.contains(Capabilities::CREDITS);
        let reply = match reply {
            Reply::Answer(answer) if !counted => {
                self.send(link, answer).await?;
                Reply::Nil
            }
            reply => reply,
        };
        let (flags, payload, trailer) = reply.of_stream(counted);
        if !counted {
            self.credits.acquire().await.map_err(|_| StreamEnded)?.forget();
        }
        let room = self.room(link, payload.len()).await?;
        ready();
        let mut out = self.sending();
        let header = if self.credits.is_closed() { None } else { out.sending.on_end(flags) };
        let header = header.ok_or(StreamEnded)?;
        out.push(room, payload.seal(header, &trailer, None))?;
        drop(out);
        if !counted {
            self.send_disconnect(link);
        }
        Ok(())
    }

    /// Tells the caller that its call runs, and how much it may send, unless the call has ended by now.
    pub(super) fn acknowledge(&self, link: &Link) {
        let credits = link.capabilities.contains(Capabilities::CREDITS).then_some(self.granted);
        let header = Header::new(Op::AckMux, self.mux, link.crc);
        let frame = PayloadBuf::with_capacity(0).seal(header, &Trailer { credits, ..Trailer::default() }, None);
        let out = self.sending();
        let pushed = if self.is_over() { Ok(()) } else { link.push_control(frame, Lane::Prompt) };
        drop(out);
        link.on_pushed(pushed);
    }

    /// Ends a call whose caller broke the rules, in the words of v1.
    pub(crate) fn refuse(&self, link: &Link, reason: RefusalReason, text: &str) {
        let mut out = self.sending();
        let (flags, payload, trailer) =
            Reply::Failed(reason, text.into()).of_stream(link.capabilities.contains(Capabilities::CREDITS));
        let Some(header) = out.sending.on_end(flags) else { return };
        let pushed = link.push_control(payload.seal(header, &trailer, None), out.lane);
        drop(out);
        link.on_pushed(pushed);
        self.send_disconnect(link);
    }

    /// Tells the other end without a word that the call is over, if it knows of it.
    pub(crate) fn send_disconnect(&self, link: &Link) {
        let out = self.sending();
        let header = out.sending.disconnect();
        self.push_disconnect(link, out, header);
    }

    /// The same of a handler whose deadline has passed, if its end is not told yet.
    pub(super) fn abandon(&self, link: &Link) {
        let mut out = self.sending();
        let header = out.sending.abandon();
        self.push_disconnect(link, out, header);
    }

    fn push_disconnect(&self, link: &Link, out: MutexGuard<'_, Outgoing>, header: Option<Header>) {
        let Some(header) = header else { return };
        match self.end() {
            // As many as calls were made.
            End::Caller => link.send_own(header, &Trailer::default(), out.lane),
            End::Handler => {
                let pushed = link.push_owed(header, &Trailer::default(), out.lane);
                drop(out);
                link.on_pushed(pushed);
            }
        }
    }

    /// The answer to a ping, which copies its number.
    pub(crate) fn pong(&self, link: &Link, ping: &Header, error: Option<&str>) {
        let mut payload = PayloadBuf::new();
        Pong { error, ..Pong::default() }.put(payload.writer());
        let header = Header { seq: ping.seq, ..Header::new(Op::Pong, self.mux, link.crc) };
        link.send_control(payload.seal(header, &Trailer::default(), None), Lane::Prompt);
    }
}

impl Outgoing {
    /// The lane of the next frame, which has so many bytes.
    fn lane_of(&self, len: usize, mux: u64) -> Lane {
        match self.lane {
            Lane::Prompt => Lane::of(len, mux),
            Lane::Bulk { .. } => self.lane,
        }
    }

    fn push(&mut self, room: Room<'_>, frame: EncodedFrame) -> Result<Queued, StreamEnded> {
        self.lane = self.lane_of(frame.len(), self.sending.mux());
        Ok(room.push(frame, self.lane)?)
    }
}

/// What a frame without a trailer needs around its payload, at most.
const FRAME_BYTES: usize = 36;

#[cfg(test)]
#[path = "stream_out_tests.rs"]
mod tests;

//! What one end of a stream receives.

use std::collections::VecDeque;

use bytes::Bytes;

use super::batch::{Batch, held_bytes};
use super::client_call::{Outcome, refused};
use super::liveness::Moved;
use super::sending::End;
use super::window::{Memory, Queue, Window};
use crate::wire::{Flags, Frame, Op, Pong, RefusalReason};

/// The items that came and wait for their reader, and the credits against which they came.
///
/// ```text
///                 on_frame: the last item                take: the queue is empty
///   Open ------------------------------------> Over ---------------------------> Told
///     |                                          ^
///     +------------------------------------------+
///        on_over: an error, a cancellation, a lost link
/// ```
///
/// `R` is why a stream can end other than by its last item; the machine does not look at it. The first end counts.
#[derive(Debug)]
pub(crate) struct Receiving<R> {
    end: End,
    next_seq: u32,
    /// The remote answered to the opening of the stream. A handler's end is open from the start.
    opened: bool,
    window: Window,
    items: VecDeque<Bytes>,
    /// What the items take that wait.
    bytes: usize,
    reader: Reader,
    input: Input<R>,
    heard: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    Reads,
    /// Nobody will: what comes is not kept.
    Gone,
}

#[derive(Debug)]
enum Input<R> {
    Open,
    Over(Over<R>),
    Told,
}

/// Why nothing more comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Over<R> {
    /// It was all.
    Finished,
    Because(R),
}

/// What a frame means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event<'a> {
    Nothing,
    /// The remote runs the call, and may be sent this many items. `None`: as many as a v1 peer knows from elsewhere.
    Opened(Option<u32>),
    /// The remote may be sent so many more.
    Credits(u32),
    /// There is something to take: an item, or the end of them.
    Readable,
    /// To be answered.
    Ping,
    /// The call has ended; what was received before is still to be read. `None`: with its last item.
    Ended(Option<Outcome<'a>>),
    /// The caller gave the call up.
    Cancelled,
    /// The remote broke the rules of the stream, with the words in which v1 says how.
    Violation(Box<str>),
    /// There is no room for an item, which was thrown away.
    Overflow,
}

/// Keeps the payload of an item, of a stream of which so many bytes wait, or does not.
pub(crate) trait Keep<'a>: FnOnce(&'a [u8], usize) -> Option<Bytes> {}

impl<'a, F: FnOnce(&'a [u8], usize) -> Option<Bytes>> Keep<'a> for F {}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    Yes,
    No,
}

/// What a reader finds when no item is left.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Take<R> {
    /// Told once.
    Over(Over<R>),
    /// Nothing yet.
    Wait,
    /// The end was told before.
    Told,
}

impl<R> Receiving<R> {
    /// `next_seq` is the number of the first frame that is to come.
    pub(crate) fn new(end: End, window: Window, next_seq: u32) -> Self {
        Self {
            end,
            next_seq,
            opened: end == End::Handler,
            items: VecDeque::new(),
            bytes: 0,
            reader: Reader::Reads,
            input: if end == End::Handler && window.is_none() { Input::Over(Over::Finished) } else { Input::Open },
            window,
            heard: false,
        }
    }

    /// A frame with the id of this stream. `own` keeps the bytes of an item, if there is room for them beside those of this
    /// stream that wait.
    pub(crate) fn on_frame<'a>(&mut self, frame: &Frame<'a>, own: impl Keep<'a>) -> Event<'a> {
        self.heard = true;
        let event = match self.end {
            End::Caller => self.on_server_frame(frame, own),
            End::Handler => self.on_client_frame(frame, own),
        };
        self.opened |= !matches!(event, Event::Nothing | Event::Ended(Some(_)));
        event
    }

    fn on_server_frame<'a>(&mut self, frame: &Frame<'a>, own: impl Keep<'a>) -> Event<'a> {
        let flags = frame.head.flags;
        match frame.head.op {
            // Not checked: it may have overtaken the answer to the opening.
            Op::MuxServerMsg | Op::Response if flags.contains(Flags::ERROR) => {
                let reason = frame.trailer.as_ref().and_then(|trailer| trailer.refusal);
                Event::Ended(Some(match reason {
                    Some(reason) => Outcome::Refused(reason, frame.payload),
                    None => Outcome::Error(frame.payload),
                }))
            }
            Op::AckMux | Op::UnblockClMux | Op::MuxServerMsg | Op::Response if !self.is_next(frame) => {
                Event::Ended(Some(Outcome::Violation("out-of-sequence item received")))
            }
            Op::AckMux if self.opened => Event::Nothing,
            Op::AckMux => Event::Opened(frame.trailer.as_ref().and_then(|trailer| trailer.credits)),
            Op::UnblockClMux => Event::Credits(credits(frame)),
            Op::MuxServerMsg | Op::Response => {
                let last = flags.contains(Flags::EOF) || frame.head.op == Op::Response;
                if last && frame.payload.is_empty() && !flags.contains(Flags::ZERO) {
                    return Event::Ended(None);
                }
                if !last && self.window.is_spent() {
                    return Event::Ended(Some(Outcome::Violation("more items than there were credits for")));
                }
                match self.push(frame, own) {
                    Kept::No => Event::Overflow,
                    Kept::Yes if last => Event::Ended(None),
                    Kept::Yes => Event::Readable,
                }
            }
            Op::Pong => match Pong::decode(frame.payload) {
                Ok(pong) if pong.not_found || pong.error.is_some() => {
                    Event::Ended(Some(Outcome::Refused(RefusalReason::Unspecified, b"remote terminated call")))
                }
                Ok(_) | Err(_) => Event::Nothing,
            },
            _ => refused(frame).map_or(Event::Nothing, |outcome| Event::Ended(Some(outcome))),
        }
    }

    fn on_client_frame<'a>(&mut self, frame: &Frame<'a>, own: impl Keep<'a>) -> Event<'a> {
        match frame.head.op {
            Op::DisconnectServerMux => return Event::Cancelled,
            Op::MuxClientMsg | Op::UnblockSrvMux | Op::Ping => {}
            _ => return Event::Nothing,
        }
        let wanted = self.next_seq;
        if !self.is_next(frame) {
            let text = format!("receive sequence number mismatch. want {wanted}, got {}", frame.head.seq);
            return Event::Violation(text.into());
        }
        match frame.head.op {
            Op::UnblockSrvMux => Event::Credits(credits(frame)),
            Op::Ping => Event::Ping,
            _ if !matches!(self.input, Input::Open) => Event::Violation("did not expect inbound message".into()),
            // v1 drops a payload there.
            _ if frame.head.flags.contains(Flags::EOF) => {
                self.input = Input::Over(Over::Finished);
                Event::Readable
            }
            _ if self.window.is_spent() => Event::Violation("handler blocked".into()),
            _ => match self.push(frame, own) {
                Kept::No => Event::Overflow,
                Kept::Yes => Event::Readable,
            },
        }
    }

    fn is_next(&mut self, frame: &Frame<'_>) -> bool {
        let is_next = frame.head.seq == self.next_seq;
        self.next_seq = frame.head.seq.wrapping_add(1);
        is_next
    }

    fn push<'a>(&mut self, frame: &Frame<'a>, own: impl Keep<'a>) -> Kept {
        self.window.on_item();
        if self.reader == Reader::Reads {
            let Some(item) = own(frame.payload, self.bytes) else { return Kept::No };
            self.bytes += held_bytes(item.len());
            self.items.push_back(item);
        }
        Kept::Yes
    }

    /// The stream has ended for a reason of its own. False if it had ended before.
    pub(crate) fn on_over(&mut self, over: Over<R>) -> bool {
        let open = matches!(self.input, Input::Open);
        if open {
            self.input = Input::Over(over);
        }
        open
    }

    /// Takes what the reader has given out into account, and hands all over that waits if the reader has nothing left. Gives
    /// the credits that this sets free for the other end. `memory` is told how many bytes were given out.
    pub(crate) fn settle(&mut self, batch: &mut Batch, memory: impl FnOnce(usize) -> Memory) -> u32 {
        let (given, bytes) = batch.take_given();
        given.for_each(|len| self.window.on_taken(len));
        // What comes after the reader has gone is not counted.
        self.bytes = self.bytes.saturating_sub(bytes);
        if batch.items.is_empty() {
            batch.shrink();
            std::mem::swap(&mut self.items, &mut batch.items);
        }
        batch.due = self.window.least();
        let memory = memory(bytes);
        let queue = if batch.items.is_empty() { Queue::Empty } else { Queue::Some };
        match self.input {
            Input::Open => self.window.grant(memory, queue),
            Input::Over(_) | Input::Told => 0,
        }
    }

    /// What there is to say once no item is left.
    pub(crate) fn take_over(&mut self) -> Take<R> {
        match &mut self.input {
            Input::Open => Take::Wait,
            Input::Told => Take::Told,
            over @ Input::Over(_) => match std::mem::replace(over, Input::Told) {
                Input::Over(over) => Take::Over(over),
                Input::Open | Input::Told => Take::Told,
            },
        }
    }

    /// Nobody reads any more. Gives what was not handed over, and the bytes of all that was not taken.
    pub(crate) fn on_reader_gone(&mut self) -> (VecDeque<Bytes>, usize) {
        self.reader = Reader::Gone;
        (std::mem::take(&mut self.items), std::mem::take(&mut self.bytes))
    }

    pub(crate) fn is_opened(&self) -> bool {
        self.opened
    }

    /// Why the stream ended before it was opened.
    pub(crate) fn take_refusal(&mut self) -> Option<Over<R>> {
        match std::mem::replace(&mut self.input, Input::Told) {
            Input::Over(over) => Some(over),
            input @ (Input::Open | Input::Told) => {
                self.input = input;
                None
            }
        }
    }

    /// Whether a frame came since the last time this was asked.
    pub(crate) fn heard(&mut self) -> Moved {
        match std::mem::replace(&mut self.heard, false) {
            true => Moved::Something,
            false => Moved::Nothing,
        }
    }
}

fn credits(frame: &Frame<'_>) -> u32 {
    frame.trailer.as_ref().and_then(|trailer| trailer.credits).unwrap_or(1)
}

#[cfg(test)]
#[path = "receiving_tests.rs"]
mod tests;

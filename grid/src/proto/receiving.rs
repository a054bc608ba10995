//! What one end of a stream receives.

use std::collections::VecDeque;

use bytes::Bytes;

use super::client_call::{Outcome, refused};
use super::liveness::Moved;
use super::sending::End;
use super::window::{Credits, Memory, Queue, Window};
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
    /// Of the items that wait.
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

/// What a reader finds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Take<R> {
    /// An item, and the credits that its taking sets free for the other end.
    Item(Bytes, Credits),
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
            self.bytes += item.len();
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

    /// The next thing to be read.
    pub(crate) fn take(&mut self, memory: impl FnOnce(&Bytes) -> Memory) -> Take<R> {
        if let Some(item) = self.items.pop_front() {
            if self.items.is_empty() && self.items.capacity() > ITEMS_KEPT {
                self.items = VecDeque::new();
            }
            self.bytes -= item.len();
            let memory = memory(&item);
            self.window.on_taken(item.len());
            let queue = if self.items.is_empty() { Queue::Empty } else { Queue::Some };
            let credits = match self.input {
                Input::Open => self.window.grant(memory, queue),
                Input::Over(_) | Input::Told => Credits::default(),
            };
            return Take::Item(item, credits);
        }
        match &mut self.input {
            Input::Open => Take::Wait,
            Input::Told => Take::Told,
            over @ Input::Over(_) => match std::mem::replace(over, Input::Told) {
                Input::Over(over) => Take::Over(over),
                Input::Open | Input::Told => Take::Told,
            },
        }
    }

    /// Nobody reads any more. Gives what was not read.
    pub(crate) fn on_reader_gone(&mut self) -> VecDeque<Bytes> {
        self.reader = Reader::Gone;
        self.bytes = 0;
        std::mem::take(&mut self.items)
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

/// Places of an empty queue that keep their memory.
const ITEMS_KEPT: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Capabilities, Header, Trailer};

    type Machine = Receiving<&'static str>;

    fn machine(end: End, peer: Capabilities, window: u32) -> Machine {
        Receiving::new(end, Window::new(peer, window, window), if end == End::Caller { 0 } else { 1 })
    }

    fn frame(op: Op, seq: u32, flags: Flags, payload: &[u8]) -> Frame<'_> {
        let head = Header { seq, ..Header::new(op, 7, flags) };
        Frame { head, payload, rest: &[], subroute: None, trailer: None }
    }

    fn feed<'a>(machine: &mut Machine, frame: &Frame<'a>) -> Event<'a> {
        machine.on_frame(frame, |payload, _| Some(Bytes::copy_from_slice(payload)))
    }

    fn item(seq: u32) -> Frame<'static> {
        frame(Op::MuxClientMsg, seq, Flags::NONE, b"x")
    }

    fn take(machine: &mut Machine) -> Take<&'static str> {
        machine.take(|_| Memory::Plenty)
    }

    #[test]
    fn the_last_items_come_before_the_end_and_the_end_once() {
        let mut machine = machine(End::Caller, Capabilities::V1, 2);
        assert_eq!(feed(&mut machine, &frame(Op::AckMux, 0, Flags::NONE, b"")), Event::Opened(None));
        assert_eq!(feed(&mut machine, &frame(Op::MuxServerMsg, 1, Flags::NONE, b"a")), Event::Readable);
        assert_eq!(feed(&mut machine, &frame(Op::MuxServerMsg, 2, Flags::EOF, b"b")), Event::Ended(None));
        assert!(machine.on_over(Over::Finished));
        assert!(!machine.on_over(Over::Because("late")));
        assert!(matches!(take(&mut machine), Take::Item(item, Credits { count: 0, .. }) if item == "a"));
        assert!(matches!(take(&mut machine), Take::Item(item, Credits { count: 0, .. }) if item == "b"));
        assert_eq!(take(&mut machine), Take::Over(Over::Finished));
        assert_eq!(take(&mut machine), Take::Told);
    }

    #[test]
    fn what_comes_to_a_caller_out_of_order_ends_the_call_but_for_an_error() {
        for op in [Op::AckMux, Op::UnblockClMux, Op::MuxServerMsg] {
            let mut machine = machine(End::Caller, Capabilities::V1, 2);
            let ended = feed(&mut machine, &frame(op, 3, Flags::NONE, b"a"));
            assert_eq!(ended, Event::Ended(Some(Outcome::Violation("out-of-sequence item received"))), "{op:?}");
        }
        let mut machine = machine(End::Caller, Capabilities::V1, 2);
        let error = frame(Op::MuxServerMsg, 9, Flags::EOF | Flags::ERROR, b"why");
        assert_eq!(feed(&mut machine, &error), Event::Ended(Some(Outcome::Error(b"why"))));
        assert!(!machine.is_opened(), "an error that overtook the answer to the opening is the answer");
    }

    #[test]
    fn what_a_caller_may_not_send_is_refused_in_the_words_of_v1() {
        let violation = |machine: &mut Machine, frame| match feed(machine, &frame) {
            Event::Violation(text) => text.to_string(),
            other => panic!("{other:?} instead of a violation"),
        };
        let mut one = machine(End::Handler, Capabilities::V1, 1);
        feed(&mut one, &item(1));
        assert_eq!(violation(&mut one, item(2)), "handler blocked");
        let mut skipping = machine(End::Handler, Capabilities::V1, 1);
        assert_eq!(violation(&mut skipping, item(2)), "receive sequence number mismatch. want 1, got 2");
        let mut none = machine(End::Handler, Capabilities::V1, 0);
        assert_eq!(take(&mut none), Take::Over(Over::Finished), "there is nothing to wait for");
        assert_eq!(violation(&mut none, item(1)), "did not expect inbound message");
        let mut over = machine(End::Handler, Capabilities::V1, 2);
        assert_eq!(feed(&mut over, &frame(Op::MuxClientMsg, 1, Flags::EOF, b"")), Event::Readable);
        assert_eq!(violation(&mut over, item(2)), "did not expect inbound message");
    }

    #[test]
    fn a_cancelled_input_is_no_clean_end() {
        let mut machine = machine(End::Handler, Capabilities::OWN, 2);
        feed(&mut machine, &item(1));
        assert_eq!(feed(&mut machine, &frame(Op::DisconnectServerMux, 0, Flags::NONE, b"")), Event::Cancelled);
        machine.on_over(Over::Because("cancelled"));
        assert!(matches!(take(&mut machine), Take::Item(..)));
        assert_eq!(take(&mut machine), Take::Over(Over::Because("cancelled")));
    }

    #[test]
    fn credits_are_one_unless_they_are_counted() {
        let mut machine = machine(End::Handler, Capabilities::OWN, 2);
        let one = frame(Op::UnblockSrvMux, 1, Flags::NONE, b"");
        assert_eq!(feed(&mut machine, &one), Event::Credits(1));
        let trailer = Trailer { credits: Some(30), ..Trailer::default() };
        let many = Frame { trailer: Some(trailer), ..frame(Op::UnblockSrvMux, 2, Flags::NONE, b"") };
        assert_eq!(feed(&mut machine, &many), Event::Credits(30));
        assert_eq!(feed(&mut machine, &frame(Op::Ping, 3, Flags::NONE, b"")), Event::Ping);
    }

    #[test]
    fn a_nil_item_of_a_v1_server_is_an_empty_one() {
        let mut machine = machine(End::Caller, Capabilities::V1, 1);
        feed(&mut machine, &frame(Op::AckMux, 0, Flags::NONE, b""));
        assert_eq!(feed(&mut machine, &frame(Op::MuxServerMsg, 1, Flags::NONE, b"")), Event::Readable);
        assert_eq!(take(&mut machine), Take::Item(Bytes::new(), Credits { count: 1, frames: 1 }));
        assert_eq!(feed(&mut machine, &frame(Op::MuxServerMsg, 2, Flags::NONE, b"b")), Event::Readable);
    }

    #[test]
    fn an_item_for_which_there_is_no_room_is_thrown_away_also_with_the_end() {
        for flags in [Flags::NONE, Flags::EOF] {
            let mut machine = machine(End::Caller, Capabilities::OWN, 2);
            feed(&mut machine, &frame(Op::AckMux, 0, Flags::NONE, b""));
            feed(&mut machine, &frame(Op::MuxServerMsg, 1, Flags::NONE, b"abc"));
            let second = frame(Op::MuxServerMsg, 2, flags, b"d");
            let refuse = |_: &[u8], waiting| {
                assert_eq!(waiting, 3);
                None
            };
            assert_eq!(machine.on_frame(&second, refuse), Event::Overflow);
            assert!(matches!(take(&mut machine), Take::Item(item, _) if item == "abc"));
            assert_eq!(take(&mut machine), Take::Wait);
        }
    }

    #[test]
    fn items_for_nobody_are_not_kept() {
        let mut machine = machine(End::Handler, Capabilities::OWN, 3);
        feed(&mut machine, &item(1));
        assert_eq!(machine.on_reader_gone().len(), 1);
        feed(&mut machine, &item(2));
        assert_eq!(take(&mut machine), Take::Wait);
    }
}

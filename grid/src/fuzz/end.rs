//! One end of a stream without task and lock, and what must be true of it.

use std::collections::VecDeque;

use bytes::Bytes;

use super::way::{Carries, MUX, Wire};
use crate::proto::{
    Ahead, Batch, Event, Memory, Outcome, Over, Receiving, Reply, Sending, Size, Take, Window, held_bytes,
};
use crate::wire::{Capabilities, Flags, Frame, Header, Op, PayloadBuf, Pong, RefusalReason, Trailer};

pub(super) use crate::proto::End;

/// The machines of one end, driven as `rt::Stream` drives them, and an account beside them of what they should do.
#[derive(Debug)]
pub(super) struct StreamEnd {
    end: End,
    sending: Sending,
    receiving: Receiving<Why>,
    batch: Batch,
    /// What this end may still send.
    pub(super) credits: u32,
    credits_default: u32,
    ahead: Option<Ahead>,
    counted: bool,
    /// The call has ended: nothing more goes out or comes in.
    pub(super) is_over: bool,
    /// The items of this end have ended.
    is_finished: bool,
    /// Sent and not looked at by the other end.
    pub(super) out: VecDeque<Wire>,
    /// Items of this end that it has sent.
    pub(super) sent: Vec<Bytes>,
    /// Items of the other end that were kept, of which so many were read.
    pub(super) kept: Vec<Bytes>,
    pub(super) read: usize,
    /// Bytes of items that were kept and are not settled, and those of them that were read.
    held: usize,
    unsettled: usize,
    /// How the reader learned of the end.
    pub(super) told: Option<Over<Why>>,
    pub(super) memory: Memory,
    /// Items that the other end may send, as this end sees it.
    granted: u32,
    pub(super) window: u32,
    reader: Reader,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    Reads,
    Gone,
}

/// Why a call ended, but by its last item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Why {
    /// The other end said so, with an error or a refusal.
    Remote,
    Violation(String),
    /// The caller gave it up.
    Cancelled,
    /// There was no room for an item.
    Overflow,
}

/// Whether there is memory for an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    Enough,
    None,
}

/// With what a handler ends.
#[derive(Debug, Clone)]
pub(super) enum Last {
    Nil,
    Answer(Bytes),
    Error,
}

/// What an end begins with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    pub(super) peer: Capabilities,
    /// What this end takes.
    pub(super) window: u32,
    /// What the other end was granted of it.
    pub(super) granted: u32,
    /// What this end may send once the stream is open.
    pub(super) credits: u32,
}

impl StreamEnd {
    pub(super) fn new(end: End, terms: Terms) -> Self {
        let Terms { peer, window, granted, credits } = terms;
        let counted = peer.contains(Capabilities::CREDITS);
        let mut sending = Sending::new(end, MUX, Flags::CRC);
        if end == End::Caller {
            sending.on_sent();
        }
        Self {
            end,
            sending,
            receiving: Receiving::new(end, Window::new(peer, window, granted), if end == End::Caller { 0 } else { 1 }),
            batch: Batch::default(),
            credits: if end == End::Caller { 0 } else { credits },
            credits_default: credits,
            ahead: counted.then(Ahead::default),
            counted,
            is_over: false,
            is_finished: false,
            out: VecDeque::new(),
            sent: Vec::new(),
            kept: Vec::new(),
            read: 0,
            held: 0,
            unsettled: 0,
            told: None,
            memory: Memory::Plenty,
            granted,
            window,
            reader: Reader::Reads,
        }
    }

    /// Sends an item, if it may. False: it would have to wait, or the call is over.
    pub(super) fn send(&mut self, item: &Bytes) -> bool {
        if self.is_over || self.is_waiting() {
            return false;
        }
        let size = if item.is_empty() { Size::Empty } else { Size::Some };
        let Some(header) = self.sending.on_item(size) else { return false };
        self.credits -= 1;
        if let Some(ahead) = &mut self.ahead {
            ahead.on_item(item.len());
        }
        self.sent.push(item.clone());
        self.push(header, item, &Trailer::default(), Carries::Item);
        true
    }

    /// An item would have to wait for the other end.
    pub(super) fn is_waiting(&self) -> bool {
        self.credits == 0 || self.ahead.as_ref().is_some_and(Ahead::is_too_far)
    }

    /// Items of this end may follow.
    pub(super) fn may_send(&self) -> bool {
        !self.is_over && !self.is_finished && (self.end == End::Handler || self.credits_default > 0)
    }

    /// The caller's items have ended.
    pub(super) fn finish(&mut self) {
        if !self.is_over
            && let Some(header) = self.sending.on_finish()
        {
            self.is_finished = true;
            self.push(header, b"", &Trailer::default(), Carries::Nothing);
        }
    }

    /// The handler ends, if it may. Towards a v1 peer an answer is an item, and the end takes a credit.
    pub(super) fn end(&mut self, last: Last) {
        let last = match last {
            Last::Answer(answer) if !self.counted => {
                if !self.send(&answer) {
                    return;
                }
                Last::Nil
            }
            last => last,
        };
        if self.is_over || (!self.counted && self.credits == 0) {
            return;
        }
        let reply = match &last {
            Last::Nil => Reply::Nil,
            Last::Answer(answer) => Reply::Answer(PayloadBuf::copy_from(answer)),
            Last::Error => Reply::Error(PayloadBuf::copy_from(b"error")),
        };
        let (flags, payload, trailer) = reply.of_stream(self.counted);
        let Some(header) = self.sending.on_end(flags) else { return };
        if let Last::Answer(answer) = last {
            self.sent.push(answer);
        }
        self.seal(header, payload, &trailer, Carries::Nothing);
        if !self.counted {
            self.credits -= 1;
            self.disconnect();
        }
        self.over(Over::Because(Why::Cancelled));
    }

    /// The caller gives up, or the handler is dropped.
    pub(super) fn give_up(&mut self) {
        if !self.is_over {
            self.over(Over::Because(Why::Cancelled));
            self.disconnect();
        }
    }

    pub(super) fn ping(&mut self) {
        if self.end == End::Caller
            && !self.is_over
            && let Some(header) = self.sending.on_ping()
        {
            self.push(header, b"", &Trailer::default(), Carries::Nothing);
        }
    }

    /// A frame of the other end. A call that is over has none.
    pub(super) fn on_frame(&mut self, frame: &Frame<'_>, room: Room) {
        if self.is_over {
            return;
        }
        let (held, reads) = (self.held, self.reader == Reader::Reads);
        let mut kept = None;
        let event = self.receiving.on_frame(frame, |payload, waiting| {
            assert!(reads, "an item is kept for nobody");
            assert_eq!(waiting, held, "what waits is counted");
            kept = (room == Room::Enough).then(|| Bytes::copy_from_slice(payload));
            kept.clone()
        });
        let flags = frame.head.flags;
        let is_item = match self.end {
            End::Caller => !frame.payload.is_empty() || flags.contains(Flags::ZERO) || !is_last(frame.head),
            End::Handler => !flags.contains(Flags::EOF),
        };
        if is_item && matches!(event, Event::Readable | Event::Ended(None) | Event::Overflow) {
            self.granted = self.granted.saturating_sub(1);
        }
        if let Some(item) = kept {
            assert!(matches!(event, Event::Readable | Event::Ended(None)), "{event:?} of an item that is kept");
            self.held += held_bytes(item.len());
            self.kept.push(item);
        }
        self.on_event(event, frame.head);
    }

    fn on_event(&mut self, event: Event<'_>, head: Header) {
        match event {
            Event::Nothing | Event::Readable => {}
            Event::Opened(granted) => self.add_credits(granted.unwrap_or(self.credits_default)),
            Event::Credits(granted) => {
                if let Some(ahead) = &mut self.ahead {
                    ahead.on_credits(granted);
                }
                self.add_credits(granted);
            }
            Event::Ping => self.pong(head.seq),
            Event::Ended(None) => self.over(Over::Finished),
            Event::Ended(Some(Outcome::Violation(what))) => {
                self.over(Over::Because(Why::Violation(what.to_owned())));
                self.disconnect();
            }
            Event::Ended(Some(_)) => self.over(Over::Because(Why::Remote)),
            Event::Cancelled => self.over(Over::Because(Why::Cancelled)),
            Event::Violation(text) => self.refuse(&text, Why::Violation(text.clone().into())),
            Event::Overflow if self.end == End::Handler => self.refuse("too much is unread", Why::Overflow),
            Event::Overflow => {
                self.over(Over::Because(Why::Overflow));
                self.disconnect();
            }
        }
    }

    fn refuse(&mut self, text: &str, why: Why) {
        let failed = Reply::Failed(RefusalReason::Unspecified, text.into());
        let (flags, payload, trailer) = failed.of_stream(self.counted);
        if let Some(header) = self.sending.on_end(flags) {
            self.seal(header, payload, &trailer, Carries::Nothing);
            self.disconnect();
        }
        self.over(Over::Because(why));
    }

    fn add_credits(&mut self, granted: u32) {
        self.credits = self.credits.saturating_add(granted).min(CREDITS_MAX);
    }

    fn over(&mut self, over: Over<Why>) {
        self.receiving.on_over(over);
        self.is_over = true;
    }

    /// Reads one item, or the end. False: there is nothing to read.
    pub(super) fn read(&mut self) -> bool {
        if self.reader == Reader::Gone {
            return false;
        }
        if !self.take() {
            self.settle();
            if !self.take() {
                return self.read_over();
            }
        }
        if self.batch.is_due() || (self.batch.is_empty() && self.memory == Memory::Scarce) {
            self.settle();
        }
        true
    }

    fn read_over(&mut self) -> bool {
        match self.receiving.take_over() {
            Take::Wait => assert!(self.told.is_none(), "the end is told, and then is not"),
            Take::Told => assert!(self.told.is_some(), "the end was told before, and to nobody"),
            Take::Over(over) => {
                assert_eq!(self.told, None, "the end is told twice");
                self.told = Some(over);
                return true;
            }
        }
        false
    }

    fn take(&mut self) -> bool {
        let Some(item) = self.batch.next() else { return false };
        assert_eq!(self.told, None, "an item comes after the end");
        assert_eq!(self.kept.get(self.read), Some(&item), "an item is lost or comes twice");
        self.read += 1;
        self.unsettled += held_bytes(item.len());
        true
    }

    fn settle(&mut self) {
        let (memory, unsettled) = (self.memory, std::mem::take(&mut self.unsettled));
        let credits = self.receiving.settle(&mut self.batch, |bytes| {
            assert_eq!(bytes, unsettled, "what was read is told");
            memory
        });
        self.held -= unsettled;
        self.granted += credits;
        let frames = if self.counted { credits.min(1) } else { credits };
        let each = if self.counted { credits } else { 1 };
        let trailer = Trailer { credits: self.counted.then_some(each), ..Trailer::default() };
        for _ in 0..frames {
            if let Some(header) = self.sending.on_credits() {
                self.push(header, b"", &trailer, Carries::Credits(each));
            }
        }
    }

    /// The user drops the half that reads.
    pub(super) fn drop_reader(&mut self) {
        if self.reader == Reader::Reads {
            self.reader = Reader::Gone;
            let (_, bytes) = self.receiving.on_reader_gone();
            assert_eq!(bytes, self.held, "what was not taken is given back");
            self.held = 0;
            self.batch = Batch::default();
            self.unsettled = 0;
        }
    }

    fn disconnect(&mut self) {
        if let Some(header) = self.sending.disconnect() {
            self.push(header, b"", &Trailer::default(), Carries::Nothing);
        }
    }

    fn pong(&mut self, seq: u32) {
        let mut payload = PayloadBuf::new();
        Pong::default().put(payload.writer());
        let header = Header { seq, ..Header::new(Op::Pong, MUX, Flags::CRC) };
        self.seal(header, payload, &Trailer::default(), Carries::Nothing);
    }

    fn push(&mut self, header: Header, payload: &[u8], trailer: &Trailer, carries: Carries) {
        self.seal(header, PayloadBuf::copy_from(payload), trailer, carries);
    }

    fn seal(&mut self, header: Header, payload: PayloadBuf, trailer: &Trailer, carries: Carries) {
        self.out.push_back(Wire::new(header, payload, trailer, carries));
    }

    /// What must be true after each step.
    pub(super) fn check(&self) {
        assert!(self.granted <= self.window, "more is granted than the window");
        if self.reader == Reader::Gone {
            return;
        }
        let unread: usize = self.kept.iter().skip(self.read).map(|item| held_bytes(item.len())).sum();
        assert_eq!(self.held, unread + self.unsettled, "what is held is counted wrong");
        // The last item of a handler needs no credit.
        assert!(self.granted.saturating_add(self.unread()) <= self.window + 1, "more comes than the window");
    }

    /// Items that came, were not read, and so have their credits.
    pub(super) fn unread(&self) -> u32 {
        u32::try_from(self.kept.len() - self.read).unwrap_or(u32::MAX)
    }

    /// How the reader learned of the end.
    pub(super) fn why(&self) -> Option<&Over<Why>> {
        self.told.as_ref()
    }

    pub(super) fn reads(&self) -> bool {
        self.reader == Reader::Reads
    }
}

fn is_last(head: Header) -> bool {
    head.op == Op::Response || head.flags.contains(Flags::EOF)
}

/// As `Windows::MAX`.
const CREDITS_MAX: u32 = 1 << 16;

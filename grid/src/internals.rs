//! Single steps of a frame's way, for the micro-benchmarks in `bench/micro`. They are here with `--cfg grid_bench`
//! alone, and are no part of what grid promises.

use std::hint::black_box;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use crate::rt::{Ended, Hand, Lane, Message, Outbox, Table, Wakes};
use crate::spare;
use crate::wire::{Capabilities, EncodedFrame, Flags, Frame, HandlerId, Header, Op, Pack, Trailer, elements};

/// Encoding a request: its payload is copied, and its frame put around it, with a checksum.
#[derive(Debug)]
pub struct Encode {
    payload: Vec<u8>,
}

impl Encode {
    /// Of a payload of so many bytes.
    pub fn new(payload_bytes: usize) -> Self {
        Self { payload: vec![b'x'; payload_bytes] }
    }

    /// Encodes one, in the memory of the last.
    pub fn run(&self) -> usize {
        let frame = black_box(request(&self.payload, Flags::CRC));
        let len = frame.len();
        spare::keep(frame);
        len
    }
}

/// Decoding a request, with its checksum.
#[derive(Debug)]
pub struct Decode {
    message: Vec<u8>,
}

impl Decode {
    /// Of a payload of so many bytes.
    pub fn new(payload_bytes: usize) -> Self {
        Self { message: request(&vec![b'x'; payload_bytes], Flags::CRC).as_bytes().to_vec() }
    }

    /// Decodes it.
    pub fn run(&self) -> usize {
        black_box(decode(black_box(&self.message))).payload.len()
    }
}

/// Making one message of many frames.
#[derive(Debug)]
pub struct Merge {
    frame: EncodedFrame,
    frames: usize,
    pack: Pack,
    message: Vec<u8>,
}

impl Merge {
    /// Of so many frames, with a payload of so many bytes each. 51 small ones fit one message.
    pub fn new(frames: usize, payload_bytes: usize) -> Self {
        let frame = request(&vec![b'x'; payload_bytes], Flags::CRC);
        Self { frame, frames, pack: Pack::default(), message: Vec::new() }
    }

    /// Makes it, in the memory of the last.
    pub fn run(&mut self) -> usize {
        self.message.clear();
        for _ in 0..self.frames {
            self.pack.push(black_box(self.frame.as_bytes()));
        }
        while let Some(message) = self.pack.next_message(usize::MAX) {
            message.put(&mut self.message);
        }
        self.pack.clear();
        self.message.len()
    }
}

/// Finding the frames in a message of many, without decoding each.
#[derive(Debug)]
pub struct TakeApart {
    message: Vec<u8>,
}

impl TakeApart {
    /// As [`Merge::new`]; they have to fit one message.
    pub fn new(frames: usize, payload_bytes: usize) -> Self {
        let mut merge = Merge::new(frames, payload_bytes);
        merge.run();
        let this = Self { message: merge.message };
        assert_eq!(elements(&decode(&this.message)).count(), frames, "one message");
        this
    }

    /// Finds each.
    pub fn run(&self) -> usize {
        let merged = decode(black_box(&self.message));
        elements(&merged).map(|element| black_box(element.expect("whole")).len()).sum()
    }
}

/// Single requests that begin, are answered and end.
#[derive(Debug)]
pub struct Calls {
    table: Table,
    answer: Message,
    wakes: Wakes,
}

impl Calls {
    /// With answers of so many bytes.
    pub fn new(answer_bytes: usize) -> Self {
        Self {
            table: Table::new(2, 1 << 16, 1),
            answer: Bytes::from(vec![b'x'; answer_bytes]).into(),
            wakes: Wakes::default(),
        }
    }

    /// One of them.
    pub fn run(&mut self) -> usize {
        let mux = self.table.insert(None, Waker::noop().clone()).expect("there is room");
        let head = Header::new(Op::Response, black_box(mux), Flags::EOF);
        let frame = Frame { head, payload: self.answer.bytes(), rest: &[], subroute: None, trailer: None };
        black_box(self.table.on_frame(&frame, &self.answer, Capabilities::OWN, &mut self.wakes));
        self.wakes.wake();
        match self.table.poll(mux, &Context::from_waker(Waker::noop())) {
            Poll::Ready(Ended::Answer(answer)) => black_box(answer).len(),
            _ => unreachable!("it was answered"),
        }
    }
}

/// Small frames on their way through an outbox whose driver is awake.
#[derive(Debug)]
pub struct Queueing {
    outbox: Outbox,
    hand: Hand,
}

/// A frame for [`Queueing`].
#[derive(Debug)]
pub struct Sealed(EncodedFrame);

impl Sealed {
    /// With a payload of so many bytes.
    pub fn new(payload_bytes: usize) -> Self {
        Self(request(&vec![b'x'; payload_bytes], Flags::NONE))
    }
}

impl Queueing {
    /// With nothing queued.
    #[expect(clippy::new_without_default, reason = "as the others")]
    pub fn new() -> Self {
        Self { outbox: Outbox::new(1 << 20, 1 << 16), hand: Hand::default() }
    }

    /// Puts one in, and takes it out as a message.
    pub fn run(&mut self, Sealed(frame): Sealed) -> usize {
        self.outbox.try_push(frame, Lane::Prompt).expect("there is room");
        black_box(self.outbox.take(usize::MAX, &mut self.hand));
        self.hand.prompt.next_message(usize::MAX).map_or(0, |message| black_box(message).encoded_len())
    }
}

fn request(payload: &[u8], flags: Flags) -> EncodedFrame {
    let header = Header::new(Op::Request, 1 << 40, Flags::EOF | flags);
    let header = Header { handler: HandlerId::new(1, 1), deadline_ms: 60_000, ..header };
    spare::payload_of(payload).seal(header, &Trailer::default(), None)
}

fn decode(message: &[u8]) -> Frame<'_> {
    Frame::decode(message, Capabilities::OWN).expect("a frame of ours")
}

//! WebSocket messages in bytes and out of them, after the upgrade.
//!
//! The header of a frame is read and written by tungstenite. What stands around it is done here, for the sake of
//! memory: a received message gives all its memory back when it is dropped, and the bytes to be sent are put
//! together by the driver, where they are sent from.

use std::collections::VecDeque;
use std::io::{Cursor, Write};

use bytes::{Buf, Bytes, BytesMut};
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::hits::{Limit, exceeded};
use super::message::Message;
use crate::error::LinkError;

/// Whether a side masks what it sends: the dialling side does, the accepting side does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Masks {
    Yes,
    No,
}

/// What a peer sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Received {
    /// A whole binary message.
    Message(Message),
    /// To be answered with a pong of the same payload.
    Ping(Bytes),
    /// To be answered with a close of the same payload, which is the code or nothing. Nothing comes after it.
    Close(Bytes),
    /// A text or a pong, which mean nothing here, or a part of a message.
    Nothing,
}

/// Bytes of a peer on their way to becoming messages.
#[derive(Debug)]
pub(crate) struct Inbox {
    /// Received and not taken apart yet.
    pub(crate) bytes: BytesMut,
    /// The size of the memory that those are in.
    memory: usize,
    /// The header of the frame whose payload comes next, and the length of that.
    header: Option<(FrameHeader, usize)>,
    fragments: Option<Fragments>,
    /// Whether the peer masks.
    masks: Masks,
    pub(crate) message_bytes_max: usize,
    /// What one read takes up to.
    read_bytes: usize,
    /// The longest frame that came whole since memory was last given back.
    longest: usize,
    /// The memory of earlier reads. Once all messages of it are dropped it is used again.
    retired: VecDeque<BytesMut>,
}

/// The beginning of a message that comes in several frames.
#[derive(Debug)]
enum Fragments {
    Binary(BytesMut),
    Text,
}

impl Fragments {
    fn len(&self) -> usize {
        match self {
            Self::Binary(bytes) => bytes.len(),
            Self::Text => 0,
        }
    }
}

impl Inbox {
    /// `bytes` have been received already.
    pub(crate) fn new(bytes: BytesMut, masks: Masks, message_bytes_max: usize) -> Self {
        Self {
            memory: bytes.capacity(),
            bytes,
            header: None,
            fragments: None,
            masks,
            message_bytes_max,
            read_bytes: READ_BYTES_MIN,
            longest: 0,
            retired: VecDeque::new(),
        }
    }

    /// Takes what has been received apart. `None`: more bytes are needed.
    ///
    /// # Errors
    /// What a peer must not send. The link ends with it.
    pub(crate) fn next(&mut self) -> Result<Option<Received>, LinkError> {
        let (header, len) = match self.header.take() {
            Some(header) => header,
            None => match self.read_header()? {
                Some(header) => header,
                None => return Ok(None),
            },
        };
        if self.bytes.len() < len {
            self.header = Some((header, len));
            return Ok(None);
        }
        self.longest = self.longest.max(len);
        let memory = self.memory;
        let mut payload = self.bytes.split_to(len);
        if len > KEPT_MAX {
            // The rest shares the memory of a large payload, and would keep all of it.
            self.bytes = BytesMut::from(&*self.bytes);
            self.memory = self.bytes.capacity();
        }
        if let Some(mask) = header.mask {
            apply_mask(&mut payload, mask);
        }
        self.on_frame(&header, payload, memory).map(Some)
    }

    /// Makes room for what is to be read next. A large frame is given memory as it comes, not as it is announced,
    /// unless one as long has come before: each time that what it has is full, twice as much.
    pub(crate) fn reserve(&mut self) {
        let come = self.bytes.len();
        let missing = self.header.as_ref().map_or(0, |(_, len)| len.saturating_sub(come));
        let at_once = (come + missing).min(self.longest.max(FRAME_AT_ONCE));
        let least = match missing {
            0 => self.read_bytes / WORTH_A_READ,
            missing => at_once.saturating_sub(come).max(missing.min(self.read_bytes / WORTH_A_READ)),
        };
        if self.bytes.capacity() - come >= least || self.bytes.try_reclaim(least) {
            self.memory = self.memory.max(self.bytes.capacity());
            return;
        }
        let mut fresh = self.take_memory(come + least.max(missing.min(come)).max(self.read_bytes));
        self.memory = fresh.capacity();
        fresh.extend_from_slice(&self.bytes);
        let mut full = std::mem::replace(&mut self.bytes, fresh);
        full.clear();
        if full.capacity() <= RETIRED_BYTES_MAX {
            self.retired.truncate(RETIRED_MAX - 1);
            self.retired.push_front(full);
        }
    }

    /// Memory of at least this size.
    fn take_memory(&mut self, bytes: usize) -> BytesMut {
        let free = self.retired.iter_mut().position(|retired| retired.try_reclaim(bytes));
        free.and_then(|place| self.retired.remove(place)).unwrap_or_else(|| BytesMut::with_capacity(bytes))
    }

    /// A read has taken so much, and there was room for so much: the more comes, the more is read at once.
    pub(crate) fn on_read(&mut self, bytes: usize, room: usize) {
        if bytes == room {
            self.read_bytes = (2 * self.read_bytes).min(READ_BYTES_MAX);
        }
    }

    /// Gives back what memory is not in use just now.
    pub(crate) fn shrink(&mut self) {
        self.read_bytes = READ_BYTES_MIN;
        self.longest = 0;
        self.retired = VecDeque::new();
        if self.bytes.is_empty() {
            self.bytes = BytesMut::new();
        }
    }

    fn read_header(&mut self) -> Result<Option<(FrameHeader, usize)>, LinkError> {
        let mut cursor = Cursor::new(&*self.bytes);
        let parsed = FrameHeader::parse(&mut cursor).map_err(violation)?;
        let read = usize::try_from(cursor.position()).unwrap_or(0);
        let Some((header, len)) = parsed else { return Ok(None) };
        self.bytes.advance(read);

        if header.rsv1 || header.rsv2 || header.rsv3 {
            return Err(violation("a reserved bit is set"));
        }
        match (self.masks, header.mask) {
            (Masks::Yes, None) => return Err(violation("a frame is not masked")),
            (Masks::No, Some(_)) => return Err(violation("a frame is masked")),
            (Masks::Yes, Some(_)) | (Masks::No, None) => {}
        }
        let len_max = match header.opcode {
            OpCode::Control(_) if !header.is_final => return Err(violation("a control frame is fragmented")),
            OpCode::Control(_) => CONTROL_MAX,
            OpCode::Data(_) => self.message_bytes_max - self.fragments.as_ref().map_or(0, Fragments::len),
        };
        match usize::try_from(len) {
            Ok(len) if len <= len_max => Ok(Some((header, len))),
            _ => Err(match header.opcode {
                OpCode::Control(_) => violation("a control frame is longer than 125 bytes"),
                OpCode::Data(_) => exceeded(Limit::MessageBytes, self.message_bytes_max),
            }),
        }
    }

    fn on_frame(&mut self, header: &FrameHeader, payload: BytesMut, memory: usize) -> Result<Received, LinkError> {
        match (header.opcode, self.fragments.take()) {
            (OpCode::Control(control), fragments) => {
                self.fragments = fragments;
                on_control(control, payload.freeze())
            }
            (OpCode::Data(Data::Binary), None) if header.is_final => {
                Ok(Received::Message(Message::in_shared_memory(payload.freeze(), memory)))
            }
            (OpCode::Data(Data::Binary), None) => {
                // Not the payload itself: what follows is appended, and must not grow into the memory of other messages.
                self.fragments = Some(Fragments::Binary(BytesMut::from(&*payload)));
                Ok(Received::Nothing)
            }
            (OpCode::Data(Data::Text), None) => {
                self.fragments = (!header.is_final).then_some(Fragments::Text);
                Ok(Received::Nothing)
            }
            (OpCode::Data(Data::Continue), Some(fragments)) => self.on_fragment(fragments, header.is_final, &payload),
            (OpCode::Data(Data::Continue), None) => Err(violation("a continuation of nothing")),
            (OpCode::Data(_), Some(_)) => Err(violation("a message begins inside another")),
            (OpCode::Data(Data::Reserved(_)), None) => Err(violation("a reserved opcode")),
        }
    }

    fn on_fragment(&mut self, fragments: Fragments, last: bool, payload: &[u8]) -> Result<Received, LinkError> {
        match fragments {
            Fragments::Binary(mut bytes) => {
                bytes.extend_from_slice(payload);
                if last {
                    let memory = bytes.capacity();
                    return Ok(Received::Message(Message::in_shared_memory(bytes.freeze(), memory)));
                }
                self.fragments = Some(Fragments::Binary(bytes));
                Ok(Received::Nothing)
            }
            Fragments::Text => {
                self.fragments = (!last).then_some(Fragments::Text);
                Ok(Received::Nothing)
            }
        }
    }
}

fn on_control(control: Control, payload: Bytes) -> Result<Received, LinkError> {
    match control {
        Control::Ping => Ok(Received::Ping(payload)),
        Control::Pong => Ok(Received::Nothing),
        Control::Close if payload.len() == 1 => Err(violation("half of a close code")),
        // The code without the reason that may follow, as v1 answers it.
        Control::Close => Ok(Received::Close(payload.slice(..payload.len().min(2)))),
        Control::Reserved(_) => Err(violation("a reserved opcode")),
    }
}

/// Appends a frame: the payload is what `put` appends, and is `len` bytes long.
pub(crate) fn put_frame(out: &mut Vec<u8>, opcode: OpCode, masks: Masks, len: usize, put: impl FnOnce(&mut Vec<u8>)) {
    out.reserve(HEADER_MAX + len);
    let mask = put_header(out, opcode, masks, len);
    let start = out.len();
    put(out);
    debug_assert_eq!(out.len() - start, len);
    if let (Some(mask), Some(payload)) = (mask, out.get_mut(start..)) {
        apply_mask(payload, mask);
    }
}

/// Appends the header of a frame whose payload is `len` bytes long, and gives what that is to be masked with.
pub(crate) fn put_header(out: &mut impl Write, opcode: OpCode, masks: Masks, len: usize) -> Option<[u8; 4]> {
    let mask = match masks {
        Masks::Yes => Some(fastrand::u32(..).to_ne_bytes()),
        Masks::No => None,
    };
    let header = FrameHeader { opcode, mask, ..FrameHeader::default() };
    header.format(u64::try_from(len).unwrap_or(u64::MAX), out).expect("a buffer takes a header");
    mask
}

/// Eight bytes at a time.
pub(crate) fn apply_mask(payload: &mut [u8], [a, b, c, d]: [u8; 4]) {
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip([a, b, c, d].into_iter().cycle()) {
        *byte ^= mask;
    }
}

fn violation(what: impl std::fmt::Display) -> LinkError {
    LinkError::Protocol(what.to_string().into())
}

/// What one read takes up to on a link where little comes: an idle one keeps no more.
const READ_BYTES_MIN: usize = 2 << 10;
/// What one read takes up to on a busy link: a full write of a peer. A message shares its memory with those around it.
const READ_BYTES_MAX: usize = 64 << 10;
/// Less room than this part of a read is not worth one: the buffer is replaced once per many messages, not at each.
const WORTH_A_READ: usize = 8;
/// How much memory of earlier reads is kept, in pieces and in bytes for each: for what is read while the messages of
/// the last reads are worked on.
const RETIRED_MAX: usize = 3;
const RETIRED_BYTES_MAX: usize = 2 * READ_BYTES_MAX;
/// A frame up to this size is given memory at once, a larger one as it comes.
const FRAME_AT_ONCE: usize = 256 << 10;
/// A payload above this size does not share its memory with what comes after it.
const KEPT_MAX: usize = FRAME_AT_ONCE;
/// The longest payload of a control frame.
const CONTROL_MAX: usize = 125;
/// The longest header of a frame.
pub(super) const HEADER_MAX: usize = 14;

#[cfg(test)]
mod tests {
    use super::*;

    const BINARY: OpCode = OpCode::Data(Data::Binary);

    fn frame(opcode: OpCode, masks: Masks, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        put_frame(&mut out, opcode, masks, payload.len(), |out| out.extend_from_slice(payload));
        out
    }

    fn inbox(bytes: &[u8], masks: Masks) -> Inbox {
        Inbox::new(BytesMut::from(bytes), masks, 1 << 20)
    }

    #[test]
    fn a_frame_comes_back_at_every_length_and_in_every_cut() {
        for masks in [Masks::Yes, Masks::No] {
            for len in [0, 1, 7, 8, 125, 126, 300, 65_535, 65_536] {
                let payload = vec![0xa5; len];
                let bytes = frame(BINARY, masks, &payload);
                let mut inbox = inbox(&[], masks);
                let cut = bytes.len().min(20);
                for byte in &bytes[..cut] {
                    assert_eq!(inbox.next(), Ok(None));
                    inbox.bytes.extend_from_slice(&[*byte]);
                }
                inbox.bytes.extend_from_slice(&bytes[cut..]);
                assert_eq!(inbox.next(), Ok(Some(Received::Message(Bytes::from(payload).into()))), "{len} bytes");
                assert_eq!(inbox.next(), Ok(None));
            }
        }
    }

    #[test]
    fn fragments_become_one_message_with_control_frames_between_them() {
        let mut bytes = vec![0x02, 2, b'a', b'b'];
        bytes.extend([0x89, 1, b'p']);
        bytes.extend([0x00, 1, b'c']);
        bytes.extend([0x80, 0x7e, 0, 1, b'd']);
        let mut inbox = inbox(&bytes, Masks::No);
        assert_eq!(inbox.next(), Ok(Some(Received::Nothing)));
        assert_eq!(inbox.next(), Ok(Some(Received::Ping("p".into()))));
        assert_eq!(inbox.next(), Ok(Some(Received::Nothing)));
        assert_eq!(inbox.next(), Ok(Some(Received::Message(Bytes::from("abcd").into()))));
    }

    #[test]
    fn what_must_not_be_sent_is_an_error() {
        let cases: [(&[u8], &str); 10] = [
            (&[0xc2, 0], "a reserved bit is set"),
            (&[0x82, 0x80, 0, 0, 0, 0], "a frame is masked"),
            (&[0x80, 0], "a continuation of nothing"),
            (&[0x02, 0, 0x82, 0], "a message begins inside another"),
            (&[0x01, 0, 0x82, 0], "a message begins inside another"),
            (&[0x09, 0], "a control frame is fragmented"),
            (&[0x89, 0x7e, 0, 126], "a control frame is longer than 125 bytes"),
            (&[0x88, 1, 3], "half of a close code"),
            (&[0x82, 0x7f, 0, 0, 0, 0, 0, 0x10, 0, 1], "beyond message_bytes_max, which is 1048576"),
            (&[0x82, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], "beyond message_bytes_max"),
        ];
        for (bytes, wanted) in cases {
            let mut inbox = inbox(bytes, Masks::No);
            let error = std::iter::from_fn(|| inbox.next().transpose()).find_map(Result::err).expect("an error");
            assert!(error.to_string().contains(wanted), "{bytes:02x?}: {error}");
        }
        assert!(inbox(&[0x83, 0], Masks::No).next().is_err(), "a reserved opcode");
        assert!(inbox(&[0x82, 0], Masks::Yes).next().is_err(), "not masked");
    }

    #[test]
    fn a_frame_that_is_announced_takes_little_memory() {
        let mut inbox = inbox(&[0x82, 0x7f, 0, 0, 0, 0, 0, 0x10, 0, 0], Masks::No);
        assert_eq!(inbox.next(), Ok(None));
        inbox.reserve();
        assert!(inbox.bytes.capacity() <= FRAME_AT_ONCE);
    }

    #[test]
    fn a_large_frame_that_comes_byte_by_byte_is_copied_a_few_times_and_no_more() {
        const LEN: usize = 1 << 20;
        let mut inbox = inbox(&frame(BINARY, Masks::No, &vec![1; LEN])[..HEADER_MAX], Masks::No);
        let (mut copied, mut before) = (0, inbox.bytes.as_ptr());
        let message = loop {
            if let Some(message) = inbox.next().unwrap() {
                break message;
            }
            inbox.reserve();
            if inbox.bytes.as_ptr() != before {
                (copied, before) = (copied + inbox.bytes.len(), inbox.bytes.as_ptr());
            }
            // Byte by byte where memory ends, as it is there that each would be a copy.
            let room = inbox.bytes.capacity() - inbox.bytes.len();
            let come = (room / 2).clamp(1, 1 << 10);
            inbox.bytes.extend_from_slice(&vec![1; come]);
        };
        assert!(matches!(message, Received::Message(message) if message.bytes().len() == LEN));
        assert!(copied < 2 * LEN, "{copied} bytes");
    }

    #[test]
    fn a_frame_as_long_as_one_that_came_is_given_its_memory_at_once() {
        let mut inbox = inbox(&frame(BINARY, Masks::No, &[1; 1 << 20]), Masks::No);
        assert!(matches!(inbox.next(), Ok(Some(Received::Message(_)))));
        inbox.bytes.extend_from_slice(&[0x82, 0x7f, 0, 0, 0, 0, 0, 0x10, 0, 0]);
        assert_eq!(inbox.next(), Ok(None));
        inbox.reserve();
        assert!(inbox.bytes.capacity() >= 1 << 20);
    }

    #[test]
    fn a_busy_link_reads_much_at_once_and_an_idle_one_keeps_little() {
        let mut inbox = inbox(&[], Masks::No);
        inbox.reserve();
        assert!(inbox.bytes.capacity() <= READ_BYTES_MIN);
        for _ in 0..10 {
            inbox.on_read(1, 1);
        }
        inbox.reserve();
        assert_eq!(inbox.bytes.capacity(), READ_BYTES_MAX);
        inbox.bytes.extend_from_slice(&[0; READ_BYTES_MAX]);
        let (memory, message) = (inbox.bytes.as_ptr(), inbox.bytes.split().freeze());
        inbox.reserve();
        assert_ne!(inbox.bytes.as_ptr(), memory, "a message is in there");
        drop(message);
        inbox.bytes.extend_from_slice(&[0; READ_BYTES_MAX]);
        inbox.bytes.clear();
        let _message = std::mem::replace(&mut inbox.bytes, BytesMut::new());
        inbox.reserve();
        assert_eq!(inbox.bytes.as_ptr(), memory, "it is used again");
        inbox.shrink();
        inbox.reserve();
        assert!(inbox.bytes.capacity() <= READ_BYTES_MIN);
    }

    #[test]
    fn a_payload_that_came_beside_a_large_frame_does_not_keep_its_memory() {
        const SOME: usize = 20 << 10;
        let kept = |large: usize| {
            let mut inbox = inbox(&[], Masks::No);
            (0..10).for_each(|_| inbox.on_read(1, 1));
            let large = frame(BINARY, Masks::No, &vec![1; large]);
            inbox.reserve();
            inbox.bytes.extend_from_slice(&large[..HEADER_MAX]);
            assert_eq!(inbox.next(), Ok(None));
            inbox.reserve();
            inbox.bytes.extend_from_slice(&large[HEADER_MAX..]);
            inbox.bytes.extend_from_slice(&frame(BINARY, Masks::No, &[2; SOME]));
            assert!(matches!(inbox.next(), Ok(Some(Received::Message(_)))));
            let Ok(Some(Received::Message(message))) = inbox.next() else { panic!("it is whole") };
            message.keep(message.bytes()).as_ptr() == message.bytes().as_ptr()
        };
        assert!(kept(SOME), "of a read of 64 KiB");
        assert!(!kept(200 << 10));
    }

    #[test]
    fn a_close_is_its_code() {
        assert_eq!(inbox(&[0x88, 0], Masks::No).next(), Ok(Some(Received::Close(Bytes::new()))));
        let with_reason = [0x88, 5, 0x03, 0xe8, b'b', b'y', b'e'];
        assert_eq!(inbox(&with_reason, Masks::No).next(), Ok(Some(Received::Close(Bytes::from_static(&[0x03, 0xe8])))));
    }

    #[test]
    fn masking_is_byte_by_byte_at_every_length() {
        for len in 0..40_u8 {
            let bytes: Vec<u8> = (0..len).collect();
            let mut masked = bytes.clone();
            apply_mask(&mut masked, [1, 2, 3, 4]);
            let one_by_one: Vec<u8> = bytes.iter().zip([1, 2, 3, 4].iter().cycle()).map(|(b, m)| b ^ m).collect();
            assert_eq!(masked, one_by_one);
        }
    }
}

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
    /// The memory of earlier reads, with its size. Once all messages of it are dropped it is used again.
    retired: VecDeque<(BytesMut, usize)>,
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
        let (mut fresh, size) = self.take_memory(come + least.max(missing.min(come)).max(self.read_bytes));
        fresh.extend_from_slice(&self.bytes);
        let mut full = std::mem::replace(&mut self.bytes, fresh);
        let full_size = std::mem::replace(&mut self.memory, size);
        full.clear();
        if full_size <= RETIRED_BYTES_MAX {
            self.retired.truncate(RETIRED_MAX - 1);
            self.retired.push_front((full, full_size));
        }
    }

    /// Room for so many bytes, and the size of the memory that it is in: what was left of earlier reads may be its end alone.
    fn take_memory(&mut self, bytes: usize) -> (BytesMut, usize) {
        let free = self.retired.iter_mut().position(|(retired, _)| retired.try_reclaim(bytes));
        free.and_then(|place| self.retired.remove(place)).unwrap_or_else(|| {
            let fresh = BytesMut::with_capacity(bytes);
            let size = fresh.capacity();
            (fresh, size)
        })
    }

    /// A read has taken so much, and there was room for so much: the more comes, the more is read at once.
    pub(crate) fn on_read(&mut self, bytes: usize, room: usize) {
        if bytes == room && room >= self.read_bytes / WORTH_A_READ {
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
#[path = "websocket_tests.rs"]
mod tests;

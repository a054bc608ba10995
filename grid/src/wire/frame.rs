//! One frame: the 7-tuple, and what may stand behind it.
//!
//! ```text
//! 97 MuxID Seq DeadlineMS Handler Op Flags Payload | trailer or nothing | 32-byte subroute id | 4-byte checksum
//! ------------------ tuple ----------------------- | Flags::TRAILER     | Flags::SUBROUTE     | Flags::CRC
//! ```

use std::ops::BitOr;

use bytes::BufMut;

use super::handler_id::HandlerId;
use super::hash::crc;
use super::hello::Capabilities;
use super::msgpack::{DecodeError, Reader, put_bin_header, put_uint};
use super::subroute::SubrouteId;
use super::trailer::Trailer;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    Connect,
    ConnectResponse,
    Ping,
    Pong,
    ConnectMux,
    MuxConnectError,
    DisconnectClientMux,
    DisconnectServerMux,
    MuxClientMsg,
    MuxServerMsg,
    UnblockSrvMux,
    UnblockClMux,
    AckMux,
    Request,
    Response,
    Disconnect,
    Merged,
    /// A number that means nothing; such frames are ignored.
    Unknown(u8),
}

impl Op {
    fn to_wire(self) -> u8 {
        match self {
            Self::Connect => 1,
            Self::ConnectResponse => 2,
            Self::Ping => 3,
            Self::Pong => 4,
            Self::ConnectMux => 5,
            Self::MuxConnectError => 6,
            Self::DisconnectClientMux => 7,
            Self::DisconnectServerMux => 8,
            Self::MuxClientMsg => 9,
            Self::MuxServerMsg => 10,
            Self::UnblockSrvMux => 11,
            Self::UnblockClMux => 12,
            Self::AckMux => 13,
            Self::Request => 14,
            Self::Response => 15,
            Self::Disconnect => 16,
            Self::Merged => 17,
            Self::Unknown(number) => number,
        }
    }

    fn from_wire(number: u8) -> Self {
        match number {
            1 => Self::Connect,
            2 => Self::ConnectResponse,
            3 => Self::Ping,
            4 => Self::Pong,
            5 => Self::ConnectMux,
            6 => Self::MuxConnectError,
            7 => Self::DisconnectClientMux,
            8 => Self::DisconnectServerMux,
            9 => Self::MuxClientMsg,
            10 => Self::MuxServerMsg,
            11 => Self::UnblockSrvMux,
            12 => Self::UnblockClMux,
            13 => Self::AckMux,
            14 => Self::Request,
            15 => Self::Response,
            16 => Self::Disconnect,
            17 => Self::Merged,
            number => Self::Unknown(number),
        }
    }
}

/// The flags of a frame. Unknown bits are kept and mean nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Flags(u8);

impl Flags {
    pub(crate) const NONE: Self = Self(0);
    /// The last four bytes of the message are a checksum.
    pub(crate) const CRC: Self = Self(1);
    /// Nothing follows from this side of the call.
    pub(crate) const EOF: Self = Self(1 << 1);
    /// A stream without state, which no peer supports.
    pub(crate) const STATELESS: Self = Self(1 << 2);
    /// The payload is an error.
    pub(crate) const ERROR: Self = Self(1 << 3);
    /// The payload is empty, rather than absent.
    pub(crate) const ZERO: Self = Self(1 << 4);
    /// A subroute id stands behind the payload.
    pub(crate) const SUBROUTE: Self = Self(1 << 5);
    /// A trailer stands behind the payload. grid's own.
    pub(crate) const TRAILER: Self = Self(1 << 6);

    pub(crate) fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub(crate) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    #[cfg(test)]
    pub(super) fn bits(self) -> u8 {
        self.0
    }

    #[cfg(test)]
    pub(super) fn from_bits(bits: u8) -> Self {
        Self(bits)
    }
}

impl BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A received frame, borrowing from its message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) head: Header,
    pub(crate) payload: &'a [u8],
    /// What stands between the tuple and the subroute: the elements of a merge, else what a v1 peer skips.
    pub(crate) rest: &'a [u8],
    pub(crate) subroute: Option<SubrouteId>,
    pub(crate) trailer: Option<Trailer>,
}

impl<'a> Frame<'a> {
    /// Reads one message.
    ///
    /// # Errors
    /// Whatever is not a frame that the peer with these capabilities may send. The connection ends with it.
    pub(crate) fn decode(message: &'a [u8], capabilities: Capabilities) -> Result<Self, DecodeError> {
        Self::decode_within(message, capabilities, usize::MAX)
    }

    /// The same, but for metadata beyond so many bytes, which is not kept.
    pub(crate) fn decode_within(
        message: &'a [u8],
        capabilities: Capabilities,
        metadata_bytes_max: usize,
    ) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(message);
        let size = reader.array_len("the frame")?;
        if size != 7 {
            return Err(DecodeError::TupleSize(size));
        }
        let handler_max =
            if capabilities.contains(Capabilities::WIDE_HANDLERS) { u64::from(u16::MAX) } else { u64::from(u8::MAX) };
        let mux = reader.uint("MuxID", u64::MAX)?;
        let seq = narrow(reader.uint("Seq", u32::MAX.into())?);
        let deadline_ms = narrow(reader.uint("DeadlineMS", u32::MAX.into())?);
        let handler = HandlerId::from_wire(narrow(reader.uint("Handler", handler_max)?));
        let op = Op::from_wire(narrow(reader.uint("Op", u8::MAX.into())?));
        let flags = Flags(narrow(reader.uint("Flags", u8::MAX.into())?));
        let payload = reader.bin("Payload")?;

        let mut rest = reader.rest();
        if flags.contains(Flags::CRC) {
            rest = check_crc(message, rest)?;
        }
        let mut subroute = None;
        if flags.contains(Flags::SUBROUTE) {
            let got = rest.len();
            let length = DecodeError::Length { field: "the subroute id", wanted: SubrouteId::LEN, got };
            let (before, id) = rest.split_last_chunk().ok_or(length)?;
            rest = before;
            subroute = Some(SubrouteId(*id));
        }
        let mut trailer = None;
        if flags.contains(Flags::TRAILER) && capabilities.contains(Capabilities::TRAILER) {
            trailer = Some(Trailer::decode(rest, metadata_bytes_max)?);
        }
        let head = Header { mux, seq, deadline_ms, handler, op, flags };
        Ok(Self { head, payload, rest, subroute, trailer })
    }
}

/// What stands before the checksum, behind the tuple.
fn check_crc<'a>(message: &[u8], rest: &'a [u8]) -> Result<&'a [u8], DecodeError> {
    let length = DecodeError::Length { field: "the checksum", wanted: 4, got: rest.len() };
    let (rest, given) = rest.split_last_chunk::<4>().ok_or(length)?;
    let given = u32::from_le_bytes(*given);
    let (covered, _) = message.split_at(message.len() - 4);
    let computed = crc(covered);
    if given == computed { Ok(rest) } else { Err(DecodeError::Crc { given, computed }) }
}

/// For values whose range has been checked.
fn narrow<T: TryFrom<u64> + Default>(value: u64) -> T {
    T::try_from(value).unwrap_or_else(|_| {
        debug_assert!(false, "the reader was given the maximum of the field");
        T::default()
    })
}

/// The six numbers with which a frame begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) mux: u64,
    pub(crate) seq: u32,
    pub(crate) deadline_ms: u32,
    pub(crate) handler: HandlerId,
    pub(crate) op: Op,
    pub(crate) flags: Flags,
}

impl Header {
    pub(crate) fn new(op: Op, mux: u64, flags: Flags) -> Self {
        Self { mux, seq: 0, deadline_ms: 0, handler: HandlerId::from_wire(0), op, flags }
    }

    /// Appends the tuple up to the payload's own bytes.
    pub(super) fn put(&self, out: &mut impl BufMut, payload_len: usize) {
        out.put_u8(0x97);
        put_uint(out, self.mux);
        put_uint(out, self.seq.into());
        put_uint(out, self.deadline_ms.into());
        put_uint(out, self.handler.get().into());
        put_uint(out, self.op.to_wire().into());
        put_uint(out, self.flags.0.into());
        put_bin_header(out, payload_len);
    }
}

/// A payload that is encoded with room before it, so that its frame can be put around it without a copy.
#[derive(Debug, Clone)]
pub(crate) struct PayloadBuf {
    buf: Vec<u8>,
}

impl PayloadBuf {
    /// The longest tuple, 1 + 9 + 5 + 5 + 3 + 2 + 2 + 5 bytes, and the longest header of a WebSocket frame before it, 14.
    const HEADROOM: usize = 32 + 14;
    /// What may stand behind the payload, without a trailer.
    pub(crate) const TAIL: usize = SubrouteId::LEN + 4;

    pub(crate) fn new() -> Self {
        Self::with_capacity(128)
    }

    pub(crate) fn with_capacity(len: usize) -> Self {
        Self::in_memory(Vec::with_capacity(Self::HEADROOM + len + Self::TAIL))
    }

    /// In the memory of something that is not needed any more.
    pub(crate) fn in_memory(mut memory: Vec<u8>) -> Self {
        memory.clear();
        memory.resize(Self::HEADROOM, 0);
        Self { buf: memory }
    }

    pub(crate) fn copy_from(payload: &[u8]) -> Self {
        let mut this = Self::with_capacity(payload.len());
        this.buf.extend_from_slice(payload);
        this
    }

    pub(crate) fn len(&self) -> usize {
        self.buf.len().saturating_sub(Self::HEADROOM)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.buf.get(Self::HEADROOM..).unwrap_or_default()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where the payload is appended.
    pub(crate) fn writer(&mut self) -> &mut Vec<u8> {
        &mut self.buf
    }

    /// Puts the frame around the payload. Sets [`Flags::SUBROUTE`] and [`Flags::TRAILER`] as it is given them;
    /// [`Flags::CRC`] is the header's.
    pub(crate) fn seal(self, mut header: Header, trailer: &Trailer, subroute: Option<SubrouteId>) -> EncodedFrame {
        header.flags = header.flags.without(Flags::SUBROUTE | Flags::TRAILER);
        if !trailer.is_empty() {
            header.flags = header.flags | Flags::TRAILER;
        }
        if subroute.is_some() {
            header.flags = header.flags | Flags::SUBROUTE;
        }
        let mut tuple = [0; Self::HEADROOM];
        let mut unused = tuple.as_mut_slice();
        header.put(&mut unused, self.len());
        let start = unused.len();

        let mut buf = self.buf;
        let (tuple, _) = tuple.split_at(Self::HEADROOM - start);
        if let Some(room) = buf.get_mut(start..Self::HEADROOM) {
            room.copy_from_slice(tuple);
        }
        if !trailer.is_empty() {
            trailer.put(&mut buf);
        }
        if let Some(id) = subroute {
            buf.extend_from_slice(id.as_bytes());
        }
        let mut frame = EncodedFrame { buf, start };
        if header.flags.contains(Flags::CRC) {
            let crc = crc(frame.as_bytes());
            frame.buf.extend_from_slice(&crc.to_le_bytes());
        }
        frame
    }
}

/// A frame as it goes into a message.
#[derive(Debug, Clone)]
pub(crate) struct EncodedFrame {
    buf: Vec<u8>,
    start: usize,
}

impl EncodedFrame {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.buf.get(self.start..).unwrap_or_default()
    }

    /// Puts the header of its message before the frame.
    pub(crate) fn prepend(&mut self, header: &[u8]) {
        let start = self.start.saturating_sub(header.len());
        if let Some(room) = self.buf.get_mut(start..self.start) {
            debug_assert_eq!(room.len(), header.len(), "there is room for the longest header");
            room.copy_from_slice(header);
            self.start = start;
        }
    }

    /// The memory, for something else.
    pub(crate) fn into_memory(self) -> Vec<u8> {
        self.buf
    }

    pub(crate) fn as_bytes_mut(&mut self) -> &mut [u8] {
        self.buf.get_mut(self.start..).unwrap_or_default()
    }

    pub(crate) fn len(&self) -> usize {
        self.buf.len().saturating_sub(self.start)
    }
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;

//! Frames by a codec of their own, to hold grid's against: it shares no code with it.

use std::fmt;
use std::io::Cursor;

use rmpv::Value;
use sha2::{Digest, Sha256};
use twox_hash::XxHash3_64;

/// The numbers of the ops.
#[allow(missing_docs, reason = "they are those of the protocol's page")]
pub mod op {
    pub const CONNECT: u8 = 1;
    pub const CONNECT_RESPONSE: u8 = 2;
    pub const PING: u8 = 3;
    pub const PONG: u8 = 4;
    pub const CONNECT_MUX: u8 = 5;
    pub const MUX_CONNECT_ERROR: u8 = 6;
    pub const DISCONNECT_CLIENT_MUX: u8 = 7;
    pub const DISCONNECT_SERVER_MUX: u8 = 8;
    pub const MUX_CLIENT_MSG: u8 = 9;
    pub const MUX_SERVER_MSG: u8 = 10;
    pub const UNBLOCK_SRV_MUX: u8 = 11;
    pub const UNBLOCK_CL_MUX: u8 = 12;
    pub const ACK_MUX: u8 = 13;
    pub const REQUEST: u8 = 14;
    pub const RESPONSE: u8 = 15;
    pub const DISCONNECT: u8 = 16;
    pub const MERGED: u8 = 17;
}

/// The bits of the flags.
#[allow(missing_docs, reason = "they are those of the protocol's page")]
pub mod flag {
    pub const CRC: u8 = 0x01;
    pub const EOF: u8 = 0x02;
    pub const STATELESS: u8 = 0x04;
    pub const ERROR: u8 = 0x08;
    pub const ZERO: u8 = 0x10;
    pub const SUBROUTE: u8 = 0x20;
    pub const TRAILER: u8 = 0x40;
}

/// One frame. Its checksum is made when it is encoded and checked when it is decoded, as [`flag::CRC`] says.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Frame {
    pub mux: u64,
    pub seq: u32,
    pub deadline_ms: u32,
    pub handler: u32,
    pub op: u8,
    pub flags: u8,
    pub payload: Vec<u8>,
    /// What stands between the tuple and the subroute.
    pub trailer: Vec<u8>,
    pub subroute: Option<[u8; 32]>,
}

impl Frame {
    /// A frame without flags but the checksum's, and without payload.
    pub fn new(op: u8, mux: u64) -> Self {
        Self { mux, op, flags: flag::CRC, ..Self::default() }
    }

    /// A single request as v1 peers send it, without a deadline.
    pub fn request(mux: u64, handler: u32, payload: impl AsRef<[u8]>) -> Self {
        Self { handler, deadline_ms: 60_000, ..Self::new(op::REQUEST, mux).flags(flag::EOF).payload(payload) }
    }

    /// A good answer.
    pub fn response(mux: u64, payload: impl AsRef<[u8]>) -> Self {
        Self::new(op::RESPONSE, mux).flags(flag::EOF).payload(payload)
    }

    /// A refusal.
    pub fn refusal(mux: u64, text: &str) -> Self {
        Self::new(op::MUX_CONNECT_ERROR, mux).flags(flag::EOF).payload(map([("Error", text.into())]))
    }

    /// With these flags as well.
    pub fn flags(mut self, flags: u8) -> Self {
        self.flags |= flags;
        self
    }

    /// Without a checksum.
    pub fn bare(mut self) -> Self {
        self.flags &= !flag::CRC;
        self
    }

    pub fn payload(mut self, payload: impl AsRef<[u8]>) -> Self {
        self.payload = payload.as_ref().to_vec();
        self
    }

    /// Under this route.
    pub fn under(mut self, route: &str) -> Self {
        self.subroute = Some(subroute_id(self.handler, route));
        self.flags(flag::SUBROUTE)
    }

    /// With this trailer.
    pub fn trailer(mut self, trailer: &Value) -> Self {
        self.trailer = encode_value(trailer);
        self.flags(flag::TRAILER)
    }

    /// The trailer as a map, if there is one.
    pub fn trailer_map(&self) -> Option<Value> {
        (self.flags & flag::TRAILER != 0).then(|| decode_value(&self.trailer).expect("a trailer is one value"))
    }

    /// The text of an error, of whichever kind.
    pub fn error_text(&self) -> String {
        match self.op {
            op::MUX_CONNECT_ERROR => self.text("Error"),
            _ => String::from_utf8_lossy(&self.payload).into_owned(),
        }
    }

    /// A value of the payload, if that is a map with this key.
    pub fn field(&self, key: &str) -> Option<Value> {
        let payload = decode_value(&self.payload).ok()?;
        payload.as_map()?.iter().find(|(name, _)| name.as_str() == Some(key)).map(|(_, value)| value.clone())
    }

    /// A text of the payload.
    ///
    /// # Panics
    /// There is none under this key.
    pub fn text(&self, key: &str) -> String {
        let field = self.field(key);
        field.as_ref().and_then(Value::as_str).unwrap_or_else(|| panic!("no text {key} in {self:?}")).to_owned()
    }

    /// The frame as a message.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = encode_value(&Value::Array(vec![
            self.mux.into(),
            self.seq.into(),
            self.deadline_ms.into(),
            self.handler.into(),
            self.op.into(),
            self.flags.into(),
            Value::Binary(self.payload.clone()),
        ]));
        out.extend_from_slice(&self.trailer);
        out.extend(self.subroute.iter().flatten());
        if self.flags & flag::CRC != 0 {
            out.extend(checksum(&out));
        }
        out
    }

    /// Reads one frame, and finds fault with all that v1 peers would not send.
    ///
    /// # Errors
    /// The fault.
    pub fn decode(message: &[u8]) -> Result<Self, String> {
        let (tuple, mut rest) = split_value(message)?;
        let [mux, seq, deadline_ms, handler, op, flags, payload] = tuple
            .as_array()
            .and_then(|fields| <&[Value; 7]>::try_from(fields.as_slice()).ok())
            .ok_or_else(|| format!("not a tuple of seven: {tuple}"))?;
        let flags: u8 = number("Flags", flags)?;
        if flags & flag::CRC != 0 {
            let (before, given) = rest.split_last_chunk::<4>().ok_or("no checksum")?;
            let wanted = checksum(&message[..message.len() - 4]);
            if *given != wanted {
                return Err(format!("checksum {given:02x?} instead of {wanted:02x?}"));
            }
            rest = before;
        }
        let mut subroute = None;
        if flags & flag::SUBROUTE != 0 {
            let (before, id) = rest.split_last_chunk::<32>().ok_or("no subroute id")?;
            (rest, subroute) = (before, Some(*id));
        }
        if flags & flag::TRAILER == 0 && !rest.is_empty() && number("Op", op) != Ok(op::MERGED) {
            return Err(format!("bytes behind the frame: {rest:02x?}"));
        }
        Ok(Self {
            mux: number("MuxID", mux)?,
            seq: number("Seq", seq)?,
            deadline_ms: number("DeadlineMS", deadline_ms)?,
            handler: number("Handler", handler)?,
            op: number("Op", op)?,
            flags,
            payload: binary(payload).ok_or("the payload is no bin")?.to_vec(),
            trailer: rest.to_vec(),
            subroute,
        })
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} mux={} seq={} dl={}", op_name(self.op), self.mux, self.seq, self.deadline_ms)?;
        write!(f, " h={} flags={:02x} \"{}\"", self.handler, self.flags, self.payload.escape_ascii())?;
        if !self.trailer.is_empty() {
            write!(f, " trailer={:02x?}", self.trailer)?;
        }
        match &self.subroute {
            Some(id) => write!(f, " sub={id:02x?}"),
            None => Ok(()),
        }
    }
}

/// The frames of one message, which may be a merge.
///
/// # Errors
/// What a v1 peer would not have sent so.
pub fn frames_of(message: &[u8]) -> Result<Vec<Frame>, String> {
    let outer = Frame::decode(message)?;
    if outer.op != op::MERGED {
        return Ok(vec![outer]);
    }
    let header = Frame { seq: 0, trailer: Vec::new(), ..outer.clone() };
    if header != Frame::new(op::MERGED, 0).bare() {
        return Err(format!("a merge with more than a count: {header:?}"));
    }
    let mut rest = outer.trailer.as_slice();
    let mut frames = Vec::new();
    for _ in 0..outer.seq {
        let (element, behind) = split_value(rest)?;
        let element = binary(&element).ok_or("an element that is no bin")?;
        frames.push(Frame::decode(element)?);
        rest = behind;
    }
    if frames.iter().any(|frame| frame.op == op::MERGED) {
        return Err("a merge in a merge".to_owned());
    }
    if !rest.is_empty() || !(2..=51).contains(&frames.len()) || message.len() > 32 << 10 {
        let (count, size, left) = (frames.len(), message.len(), rest.len());
        return Err(format!("a merge of {count} frames and {size} bytes, with {left} bytes behind them"));
    }
    Ok(frames)
}

/// A merge that claims a number of elements.
pub fn merge(claimed: u32, elements: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Frame { seq: claimed, ..Frame::new(op::MERGED, 0).bare() }.encode();
    for element in elements {
        out.extend(encode_value(&Value::Binary(element.clone())));
    }
    out
}

/// What a call of this handler under this route carries.
pub fn subroute_id(handler: u32, route: &str) -> [u8; 32] {
    let mut id: [u8; 32] = Sha256::digest(route.as_bytes()).into();
    let [low, high, ..] = handler.to_le_bytes();
    (id[0], id[1]) = (low, high);
    id
}

/// The checksum of a message.
pub fn checksum(bytes: &[u8]) -> [u8; 4] {
    let [a, b, c, d, ..] = XxHash3_64::oneshot(bytes).to_le_bytes();
    [a, b, c, d]
}

/// A msgpack map with these keys in this order.
pub fn map<const N: usize>(pairs: [(&str, Value); N]) -> Vec<u8> {
    encode_value(&Value::Map(pairs.into_iter().map(|(key, value)| (key.into(), value)).collect()))
}

/// The bytes of a value, in the shortest form.
pub fn encode_value(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    rmpv::encode::write_value(&mut out, value).expect("a Vec takes all that is written to it");
    out
}

fn decode_value(bytes: &[u8]) -> Result<Value, String> {
    match split_value(bytes)? {
        (value, []) => Ok(value),
        (value, rest) => Err(format!("bytes behind {value}: {rest:02x?}")),
    }
}

/// A value in its shortest form, and what stands behind it.
fn split_value(bytes: &[u8]) -> Result<(Value, &[u8]), String> {
    let mut cursor = Cursor::new(bytes);
    let value = rmpv::decode::read_value(&mut cursor).map_err(|error| format!("no msgpack: {error}"))?;
    let (read, rest) = bytes.split_at(cursor.position() as usize);
    if encode_value(&value) != read {
        return Err(format!("{value} is not in its shortest form: {read:02x?}"));
    }
    Ok((value, rest))
}

/// A text has bytes too, for rmpv.
fn binary(value: &Value) -> Option<&[u8]> {
    match value {
        Value::Binary(bytes) => Some(bytes),
        _ => None,
    }
}

fn number<T: TryFrom<u64>>(field: &str, value: &Value) -> Result<T, String> {
    let number = value.as_u64().and_then(|number| T::try_from(number).ok());
    number.ok_or_else(|| format!("{field} is {value}"))
}

fn op_name(op: u8) -> String {
    let names = [
        "Connect",
        "ConnectResponse",
        "Ping",
        "Pong",
        "ConnectMux",
        "MuxConnectError",
        "DisconnectClientMux",
        "DisconnectServerMux",
        "MuxClientMsg",
        "MuxServerMsg",
        "UnblockSrvMux",
        "UnblockClMux",
        "AckMux",
        "Request",
        "Response",
        "Disconnect",
        "Merged",
    ];
    let name = usize::from(op).checked_sub(1).and_then(|index| names.get(index));
    name.map_or_else(|| format!("Op{op}"), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::Vector;

    #[test]
    fn this_codec_reads_and_writes_the_frames_of_a_go_node() {
        for vector in Vector::of_kind("frame") {
            let bytes = vector.bytes();
            let frame = Frame::decode(&bytes).unwrap_or_else(|fault| panic!("{}: {fault}", vector.name));
            let decoded = vector.decoded.expect("a frame was decoded");
            let wanted = |field: &str| decoded[field].as_u64().expect("a number");
            assert_eq!(
                (frame.mux, frame.seq, frame.deadline_ms),
                (wanted("mux_id"), wanted("seq") as u32, wanted("deadline_ms") as u32),
                "{}",
                vector.name
            );
            assert_eq!(
                (u64::from(frame.handler), u64::from(frame.op), u64::from(frame.flags)),
                (wanted("handler"), wanted("op"), wanted("flags"))
            );
            assert_eq!(frame.encode(), bytes, "{}", vector.name);
        }
    }

    #[test]
    fn this_codec_finds_fault_with_what_a_go_node_refuses() {
        for vector in Vector::of_kind("reject") {
            // This one knows the wide handler ids of grid.
            let known = vector.name == "reject_handler_overflow";
            assert_eq!(frames_of(&vector.bytes()).is_err(), !known, "{}", vector.name);
        }
    }
}

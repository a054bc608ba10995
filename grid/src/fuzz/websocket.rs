//! The bytes of a WebSocket on their way to becoming messages.

use std::io::Cursor;

use bytes::{BufMut, Bytes, BytesMut};
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::choices::Choices;
use crate::rt::{Inbox, Masks, Received, apply_mask};

/// Reads any bytes, or those of some frames, whole and in pieces.
pub fn websocket(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let masks = if choices.is_so() { Masks::Yes } else { Masks::No };
    let max = choices.of(&[1 << 10, 64 << 10, 1 << 20]);
    let is_raw = choices.is_so();
    let pieces = choices.some_bytes();
    let frames = if is_raw { None } else { Some(frames(choices, masks)) };
    let (bytes, told) = match &frames {
        Some((bytes, told)) => (&**bytes, Some(told)),
        None => (choices.rest(), None),
    };
    let whole = read(bytes, &[], masks, max);
    assert_eq!(whole, read(bytes, pieces, masks, max), "how bytes come is all one");
    let (came, fault) = whole;
    if max > BYTES_MAX {
        assert!(told.is_none_or(|told| *told == came), "good frames come as they are");
    }
    assert_eq!((came, fault.is_some()), by_the_rules(bytes, masks, max));
}

type Came = (Vec<Received>, Option<String>);

/// Feeds bytes as a socket does that reads pieces of these sizes, over and over; all at once without any.
fn read(bytes: &[u8], pieces: &[u8], masks: Masks, max: usize) -> Came {
    let first = if pieces.is_empty() { bytes } else { &[] };
    let mut inbox = Inbox::new(BytesMut::from(first), masks, max);
    let mut rest = bytes.get(first.len()..).unwrap_or_default();
    let mut sizes = pieces.iter().cycle();
    let scale = 1 + bytes.len() / PIECES_MAX;
    let mut came = Vec::new();
    loop {
        match inbox.next() {
            Ok(Some(received)) => came.push(received),
            Err(fault) => return (came, Some(fault.to_string())),
            Ok(None) if rest.is_empty() => return (came, None),
            Ok(None) => {
                let size = sizes.next().copied().unwrap_or(0);
                if size == SHRINKS {
                    inbox.shrink();
                }
                inbox.reserve();
                let room = inbox.bytes.capacity() - inbox.bytes.len();
                assert!(
                    inbox.bytes.capacity() <= 2 * bytes.len() + MEMORY_MAX,
                    "memory is taken for what has not come"
                );
                let (piece, behind) = rest.split_at((scale * (1 + usize::from(size))).min(room).min(rest.len()));
                inbox.bytes.put_slice(piece);
                inbox.on_read(piece.len(), room);
                rest = behind;
            }
        }
    }
}

/// What the protocol says that bytes are, and whether something in them must not be sent.
fn by_the_rules(mut bytes: &[u8], masks: Masks, max: usize) -> (Vec<Received>, bool) {
    let (mut came, mut begun) = (Vec::new(), Begun::Nothing);
    loop {
        let mut cursor = Cursor::new(bytes);
        let (header, len) = match FrameHeader::parse(&mut cursor) {
            Ok(Some(header)) => header,
            Ok(None) => return (came, false),
            Err(_) => return (came, true),
        };
        let start = usize::try_from(cursor.position()).expect("it is in memory");
        let is_control = matches!(header.opcode, OpCode::Control(_));
        let before = if let Begun::Binary(before) = &begun { before.len() } else { 0 };
        let limit = if is_control { CONTROL_MAX } else { max - before };
        let is_continuation = header.opcode == OpCode::Data(Data::Continue);
        let fits = is_control || is_continuation != matches!(begun, Begun::Nothing);
        let is_reserved =
            matches!(header.opcode, OpCode::Control(Control::Reserved(_)) | OpCode::Data(Data::Reserved(_)));
        let rules = [
            !(header.rsv1 || header.rsv2 || header.rsv3),
            header.mask.is_some() == (masks == Masks::Yes),
            header.is_final || !is_control,
            len <= limit as u64,
        ];
        if rules.contains(&false) {
            return (came, true);
        }
        let end = start + usize::try_from(len).expect("it is below the limit");
        let Some(payload) = bytes.get(start..end) else { return (came, false) };
        let mask = header.mask.unwrap_or_default();
        let payload: Vec<u8> = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        bytes = bytes.get(end..).unwrap_or_default();
        if !fits || is_reserved {
            return (came, true);
        }
        came.push(match header.opcode {
            OpCode::Control(Control::Close) if payload.len() == 1 => return (came, true),
            OpCode::Control(control) => control_frame(control, payload),
            OpCode::Data(kind) => begun.on_data(kind, payload, header.is_final),
        });
    }
}

fn control_frame(control: Control, payload: Vec<u8>) -> Received {
    match control {
        Control::Ping => Received::Ping(payload.into()),
        Control::Close => Received::Close(payload.into_iter().take(2).collect()),
        _ => Received::Nothing,
    }
}

/// The bytes of some well-formed frames, and what they are.
fn frames(mut choices: Choices<'_>, masks: Masks) -> (Vec<u8>, Vec<Received>) {
    let (mut bytes, mut wanted) = (Vec::new(), Vec::new());
    let mut begun = Begun::Nothing;
    while !choices.is_over() && bytes.len() < BYTES_MAX {
        let kind = choices.below(6);
        let is_final = kind < CONTROLS.len() || choices.is_so();
        let mut payload = vec![choices.byte(); usize::from(choices.byte()) * choices.of(&[1, 1, 1, 1, 1, 1, 1, 300])];
        let control = CONTROLS.get(kind).copied();
        if control.is_some() {
            payload.truncate(CONTROL_MAX);
        }
        if control == Some(Control::Close) && payload.len() == 1 {
            payload.clear();
        }
        let opcode = match (control, &begun) {
            (Some(control), _) => OpCode::Control(control),
            (None, Begun::Binary(_) | Begun::Text) => OpCode::Data(Data::Continue),
            (None, Begun::Nothing) if kind == 3 => OpCode::Data(Data::Text),
            (None, Begun::Nothing) => OpCode::Data(Data::Binary),
        };
        put(&mut bytes, opcode, is_final, masks, &payload);
        wanted.push(match opcode {
            OpCode::Control(control) => control_frame(control, payload),
            OpCode::Data(kind) => begun.on_data(kind, payload, is_final),
        });
    }
    (bytes, wanted)
}

/// The beginning of a message. Nothing of a text is kept.
enum Begun {
    Nothing,
    Text,
    Binary(Vec<u8>),
}

impl Begun {
    fn on_data(&mut self, kind: Data, payload: Vec<u8>, is_final: bool) -> Received {
        let begun = match std::mem::replace(self, Self::Nothing) {
            Self::Nothing if kind == Data::Binary => Self::Binary(payload),
            Self::Nothing | Self::Text => Self::Text,
            Self::Binary(before) => Self::Binary([before, payload].concat()),
        };
        match begun {
            Self::Binary(message) if is_final => return Received::Message(Bytes::from(message).into()),
            _ if is_final => {}
            begun => *self = begun,
        }
        Received::Nothing
    }
}

fn put(out: &mut Vec<u8>, opcode: OpCode, is_final: bool, masks: Masks, payload: &[u8]) {
    let mask = (masks == Masks::Yes).then_some([0x37, 0xfa, 0x21, 0x3d]);
    let header = FrameHeader { is_final, opcode, mask, ..FrameHeader::default() };
    header.format(payload.len() as u64, out).expect("a vector takes a header");
    let start = out.len();
    out.extend_from_slice(payload);
    if let (Some(mask), Some(payload)) = (mask, out.get_mut(start..)) {
        apply_mask(payload, mask);
    }
}

/// Enough for a length of each form; with the last frame it is below the highest limit of the target.
const BYTES_MAX: usize = 70 << 10;
/// In which an input comes, about.
const PIECES_MAX: usize = 2048;
const CONTROLS: [Control; 3] = [Control::Ping, Control::Pong, Control::Close];
/// The longest payload of a control frame.
const CONTROL_MAX: usize = 125;
/// A piece of this size comes after memory was given back.
const SHRINKS: u8 = 0xff;
/// What an inbox may hold beside twice of what has come: room for a frame at once, and for a read.
const MEMORY_MAX: usize = (256 << 10) + (128 << 10);

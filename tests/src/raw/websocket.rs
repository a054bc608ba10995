//! WebSocket frames, well formed or not.

/// The numbers of the opcodes.
#[allow(missing_docs, reason = "they are those of RFC 6455")]
pub mod opcode {
    pub const CONTINUATION: u8 = 0;
    pub const TEXT: u8 = 1;
    pub const BINARY: u8 = 2;
    pub const CLOSE: u8 = 8;
    pub const PING: u8 = 9;
    pub const PONG: u8 = 10;
}

/// One frame of the WebSocket protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WsFrame {
    pub fin: bool,
    /// The three reserved bits.
    pub rsv: u8,
    pub opcode: u8,
    pub mask: Option<[u8; 4]>,
    pub payload: Vec<u8>,
}

/// How many bytes say the length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LengthForm {
    Shortest,
    Two,
    Eight,
}

impl WsFrame {
    /// A whole frame without a mask.
    pub fn new(opcode: u8, payload: impl AsRef<[u8]>) -> Self {
        Self { fin: true, rsv: 0, opcode, mask: None, payload: payload.as_ref().to_vec() }
    }

    pub fn encode(&self, form: LengthForm) -> Vec<u8> {
        let mut out = self.header(self.payload.len() as u64, form);
        let start = out.len();
        out.extend_from_slice(&self.payload);
        apply(self.mask, &mut out[start..]);
        out
    }

    /// The header alone, with a claim of so many bytes behind it.
    pub fn header(&self, claimed: u64, form: LengthForm) -> Vec<u8> {
        let mut out = vec![(u8::from(self.fin) << 7) | (self.rsv << 4) | self.opcode];
        let masked = u8::from(self.mask.is_some()) << 7;
        match (form, claimed) {
            (LengthForm::Shortest, 0..=125) => out.push(masked | u8::try_from(claimed).expect("below 126")),
            (LengthForm::Shortest, 126..=0xffff) | (LengthForm::Two, _) => {
                out.push(masked | 126);
                out.extend(u16::try_from(claimed).expect("the form was chosen for it").to_be_bytes());
            }
            _ => {
                out.push(masked | 127);
                out.extend(claimed.to_be_bytes());
            }
        }
        out.extend(self.mask.iter().flatten());
        out
    }

    /// Takes a frame off the front, if it is there whole.
    ///
    /// # Errors
    /// A length that is not in its shortest form.
    pub fn take(bytes: &mut Vec<u8>) -> Result<Option<Self>, String> {
        let Some(([first, second], rest)) = bytes.split_first_chunk::<2>() else { return Ok(None) };
        let (len, rest) = match second & 0x7f {
            126 => match rest.split_first_chunk::<2>() {
                Some((len, rest)) => (u64::from(u16::from_be_bytes(*len)), rest),
                None => return Ok(None),
            },
            127 => match rest.split_first_chunk::<8>() {
                Some((len, rest)) => (u64::from_be_bytes(*len), rest),
                None => return Ok(None),
            },
            short => (short.into(), rest),
        };
        if matches!((second & 0x7f, len), (126, 0..126) | (127, 0..=0xffff)) {
            return Err(format!("a length of {len} bytes is not in its shortest form"));
        }
        let (mask, rest) = match (second & 0x80, rest.split_first_chunk::<4>()) {
            (0, _) => (None, rest),
            (_, Some((mask, rest))) => (Some(*mask), rest),
            (_, None) => return Ok(None),
        };
        let len = usize::try_from(len).map_err(|_| "a length beyond memory")?;
        let Some(payload) = rest.get(..len) else { return Ok(None) };
        let mut payload = payload.to_vec();
        apply(mask, &mut payload);
        let frame = Self { fin: first >> 7 == 1, rsv: (first >> 4) & 7, opcode: first & 15, mask, payload };
        let behind = rest.len() - len;
        bytes.drain(..bytes.len() - behind);
        Ok(Some(frame))
    }
}

fn apply(mask: Option<[u8; 4]>, payload: &mut [u8]) {
    if let Some(mask) = mask {
        payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
    }
}

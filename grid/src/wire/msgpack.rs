//! The few msgpack forms of which frames and handshake bodies are made.
//!
//! Reading accepts what v1 peers accept: any width of an integer, signed ones that are not negative, long headers for
//! short data. Writing always takes the shortest form.

use bytes::BufMut;

use super::time::WireTime;

/// Why bytes of a peer are not what they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum DecodeError {
    #[error("too few bytes left to read {0}")]
    Truncated(&'static str),
    #[error("{field} has the msgpack marker {marker:#04x}, which is not {wanted}")]
    Type { field: &'static str, wanted: &'static str, marker: u8 },
    #[error("{0} is negative")]
    Negative(&'static str),
    #[error("{field} is {value}, more than {max}")]
    Overflow { field: &'static str, value: u64, max: u64 },
    #[error("wanted array of size 7; got {0}")]
    TupleSize(u32),
    #[error("{field} is {got} bytes long, not {wanted}")]
    Length { field: &'static str, wanted: usize, got: usize },
    #[error("{0} is not UTF-8")]
    Utf8(&'static str),
    #[error("crc mismatch: {given:#010x} given, {computed:#010x} computed")]
    Crc { given: u32, computed: u32 },
    #[error("{0} comes twice")]
    Repeated(&'static str),
    #[error("{0} is not a time that exists")]
    Time(&'static str),
}

/// Reads msgpack off the front of a slice. The name of the field read is for the error.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been read yet.
    pub(super) fn rest(self) -> &'a [u8] {
        self.rest
    }

    /// An unsigned integer of at most `max`, in any width, also as a signed one that is not negative.
    #[inline]
    pub(super) fn uint(&mut self, field: &'static str, max: u64) -> Result<u64, DecodeError> {
        debug_assert!(max > 0x7f, "a value of one byte is within any maximum");
        match self.rest {
            [value @ 0x00..=0x7f, rest @ ..] => {
                self.rest = rest;
                Ok((*value).into())
            }
            _ => self.wide_uint(field, max),
        }
    }

    fn wide_uint(&mut self, field: &'static str, max: u64) -> Result<u64, DecodeError> {
        let marker = self.byte(field)?;
        let value = match marker {
            0xcc => u64::from(self.byte(field)?),
            0xcd => u64::from(u16::from_be_bytes(self.array(field)?)),
            0xce => u64::from(u32::from_be_bytes(self.array(field)?)),
            0xcf => u64::from_be_bytes(self.array(field)?),
            0xd0 => not_negative(field, i8::from_be_bytes(self.array(field)?).into())?,
            0xd1 => not_negative(field, i16::from_be_bytes(self.array(field)?).into())?,
            0xd2 => not_negative(field, i32::from_be_bytes(self.array(field)?).into())?,
            0xd3 => not_negative(field, i64::from_be_bytes(self.array(field)?))?,
            0xe0..=0xff => return Err(DecodeError::Negative(field)),
            _ => return Err(DecodeError::Type { field, wanted: "an unsigned integer", marker }),
        };
        if value > max {
            return Err(DecodeError::Overflow { field, value, max });
        }
        Ok(value)
    }

    pub(super) fn array_len(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        match self.byte(field)? {
            marker @ 0x90..=0x9f => Ok(u32::from(marker & 0x0f)),
            0xdc => Ok(u16::from_be_bytes(self.array(field)?).into()),
            0xdd => Ok(u32::from_be_bytes(self.array(field)?)),
            marker => Err(DecodeError::Type { field, wanted: "an array", marker }),
        }
    }

    pub(crate) fn map_len(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        match self.byte(field)? {
            marker @ 0x80..=0x8f => Ok(u32::from(marker & 0x0f)),
            0xde => Ok(u16::from_be_bytes(self.array(field)?).into()),
            0xdf => Ok(u32::from_be_bytes(self.array(field)?)),
            marker => Err(DecodeError::Type { field, wanted: "a map", marker }),
        }
    }

    pub(crate) fn bin(&mut self, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let len = match self.byte(field)? {
            0xc4 => u32::from(self.byte(field)?),
            0xc5 => u16::from_be_bytes(self.array(field)?).into(),
            0xc6 => u32::from_be_bytes(self.array(field)?),
            marker => return Err(DecodeError::Type { field, wanted: "bin", marker }),
        };
        self.take(field, len)
    }

    pub(super) fn str(&mut self, field: &'static str) -> Result<&'a str, DecodeError> {
        let len = match self.byte(field)? {
            marker @ 0xa0..=0xbf => u32::from(marker & 0x1f),
            0xd9 => u32::from(self.byte(field)?),
            0xda => u16::from_be_bytes(self.array(field)?).into(),
            0xdb => u32::from_be_bytes(self.array(field)?),
            marker => return Err(DecodeError::Type { field, wanted: "str", marker }),
        };
        std::str::from_utf8(self.take(field, len)?).map_err(|_| DecodeError::Utf8(field))
    }

    pub(super) fn bool(&mut self, field: &'static str) -> Result<bool, DecodeError> {
        match self.byte(field)? {
            0xc2 => Ok(false),
            0xc3 => Ok(true),
            marker => Err(DecodeError::Type { field, wanted: "a bool", marker }),
        }
    }

    /// A length of one byte, two or four: msgpack has markers in this order, so `width` counts from the first of them.
    #[inline]
    pub(crate) fn len(&mut self, field: &'static str, width: u8) -> Result<u32, DecodeError> {
        Ok(match width {
            0 => self.byte(field)?.into(),
            1 => u16::from_be_bytes(self.array(field)?).into(),
            _ => u32::from_be_bytes(self.array(field)?),
        })
    }

    /// The next byte, which is not consumed.
    #[inline]
    pub(crate) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Consumes a nil if one is next.
    pub(crate) fn nil(&mut self) -> bool {
        match self.rest.split_first() {
            Some((0xc0, rest)) => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// A time: v1's own extension type 5, or the official timestamp of type -1 in its three lengths.
    pub(super) fn time(&mut self, field: &'static str) -> Result<WireTime, DecodeError> {
        let len = match self.byte(field)? {
            0xd6 => 4,
            0xd7 => 8,
            0xc7 => u32::from(self.byte(field)?),
            marker => return Err(DecodeError::Type { field, wanted: "a time", marker }),
        };
        let kind = i8::from_be_bytes(self.array(field)?);
        WireTime::from_ext(kind, self.take(field, len)?).ok_or(DecodeError::Time(field))
    }

    /// Steps over one value of any kind. Takes no stack and no memory, however deep the value nests.
    pub(crate) fn skip(&mut self, field: &'static str) -> Result<(), DecodeError> {
        let mut left = 1_u64;
        while left > 0 {
            left -= 1;
            let (bytes, elements): (u32, u64) = match self.byte(field)? {
                0x00..=0x7f | 0xc0 | 0xc2 | 0xc3 | 0xe0..=0xff => (0, 0),
                marker @ 0xc1 => return Err(DecodeError::Type { field, wanted: "msgpack", marker }),
                marker @ 0x80..=0x8f => (0, 2 * u64::from(marker & 0x0f)),
                marker @ 0x90..=0x9f => (0, u64::from(marker & 0x0f)),
                marker @ 0xa0..=0xbf => (u32::from(marker & 0x1f), 0),
                0xc4 | 0xd9 => (self.byte(field)?.into(), 0),
                0xc5 | 0xda => (u16::from_be_bytes(self.array(field)?).into(), 0),
                0xc6 | 0xdb => (u32::from_be_bytes(self.array(field)?), 0),
                0xc7 => (u32::from(self.byte(field)?) + 1, 0),
                0xc8 => (u32::from(u16::from_be_bytes(self.array(field)?)) + 1, 0),
                0xc9 => (u32::from_be_bytes(self.array(field)?).saturating_add(1), 0),
                0xcc | 0xd0 => (1, 0),
                0xcd | 0xd1 | 0xd4 => (2, 0),
                0xd5 => (3, 0),
                0xca | 0xce | 0xd2 => (4, 0),
                0xd6 => (5, 0),
                0xcb | 0xcf | 0xd3 => (8, 0),
                0xd7 => (9, 0),
                0xd8 => (17, 0),
                0xdc => (0, u16::from_be_bytes(self.array(field)?).into()),
                0xdd => (0, u32::from_be_bytes(self.array(field)?).into()),
                0xde => (0, 2 * u64::from(u16::from_be_bytes(self.array(field)?))),
                0xdf => (0, 2 * u64::from(u32::from_be_bytes(self.array(field)?))),
            };
            self.take(field, bytes)?;
            left = left.saturating_add(elements);
        }
        Ok(())
    }

    #[inline]
    pub(crate) fn byte(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        let (first, rest) = self.rest.split_first().ok_or(DecodeError::Truncated(field))?;
        self.rest = rest;
        Ok(*first)
    }

    #[inline]
    pub(crate) fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], DecodeError> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(DecodeError::Truncated(field))?;
        self.rest = rest;
        Ok(*array)
    }

    #[inline]
    pub(crate) fn take(&mut self, field: &'static str, len: u32) -> Result<&'a [u8], DecodeError> {
        let len = usize::try_from(len).map_err(|_| DecodeError::Truncated(field))?;
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(DecodeError::Truncated(field))?;
        self.rest = rest;
        Ok(taken)
    }
}

/// Whether the bytes are one whole msgpack value and nothing else.
pub(crate) fn is_one_value(bytes: &[u8]) -> bool {
    let mut reader = Reader::new(bytes);
    reader.skip("a value").is_ok() && reader.rest().is_empty()
}

fn not_negative(field: &'static str, value: i64) -> Result<u64, DecodeError> {
    u64::try_from(value).map_err(|_| DecodeError::Negative(field))
}

#[inline]
pub(super) fn put_uint(out: &mut impl BufMut, value: u64) {
    match u8::try_from(value) {
        Ok(value @ 0x00..=0x7f) => out.put_u8(value),
        _ => put_wide_uint(out, value),
    }
}

fn put_wide_uint(out: &mut impl BufMut, value: u64) {
    if let Ok(value) = u8::try_from(value) {
        out.put_u8(0xcc);
        out.put_u8(value);
    } else if let Ok(value) = u16::try_from(value) {
        out.put_u8(0xcd);
        out.put_u16(value);
    } else if let Ok(value) = u32::try_from(value) {
        out.put_u8(0xce);
        out.put_u32(value);
    } else {
        out.put_u8(0xcf);
        out.put_u64(value);
    }
}

/// The header of `bin` data of this length; longer than msgpack can say is cut off by the frame limit long before.
pub(super) fn put_bin_header(out: &mut impl BufMut, len: usize) {
    put_len(out, len, [0xc4, 0xc5, 0xc6]);
}

pub(super) fn put_bin(out: &mut Vec<u8>, data: &[u8]) {
    put_bin_header(out, data.len());
    out.extend_from_slice(data);
}

pub(super) fn put_str(out: &mut Vec<u8>, text: &str) {
    match u8::try_from(text.len()) {
        Ok(len @ 0..=31) => out.push(0xa0 | len),
        _ => put_len(out, text.len(), [0xd9, 0xda, 0xdb]),
    }
    out.extend_from_slice(text.as_bytes());
}

pub(super) fn put_bool(out: &mut Vec<u8>, value: bool) {
    out.push(if value { 0xc3 } else { 0xc2 });
}

pub(super) fn put_map_len(out: &mut Vec<u8>, len: usize) {
    match (u8::try_from(len), u16::try_from(len)) {
        (Ok(len @ 0..=15), _) => out.push(0x80 | len),
        (_, Ok(len)) => {
            out.push(0xde);
            out.extend_from_slice(&len.to_be_bytes());
        }
        _ => {
            out.push(0xdf);
            out.extend_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes());
        }
    }
}

fn put_len(out: &mut impl BufMut, len: usize, [short, middle, long]: [u8; 3]) {
    if let Ok(len) = u8::try_from(len) {
        out.put_u8(short);
        out.put_u8(len);
    } else if let Ok(len) = u16::try_from(len) {
        out.put_u8(middle);
        out.put_u16(len);
    } else {
        debug_assert!(u32::try_from(len).is_ok(), "the frame limit is below 4 GiB");
        out.put_u8(long);
        out.put_u32(u32::try_from(len).unwrap_or(u32::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skip_takes_deep_and_wide_values_without_recursion() {
        let mut deep = vec![0x91; 1_000_000];
        deep.push(0xc0);
        deep.push(0x07);
        let mut reader = Reader::new(&deep);
        reader.skip("value").unwrap();
        assert_eq!(reader.rest(), [0x07]);

        let huge_claim = [0xdf, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(Reader::new(&huge_claim).skip("value"), Err(DecodeError::Truncated("value")));
    }

    #[test]
    fn skip_steps_over_each_kind_of_value() {
        let values: &[&[u8]] = &[
            &[0xc0],
            &[0xc3],
            &[0x7f],
            &[0xff],
            &[0xcc, 1],
            &[0xcd, 1, 2],
            &[0xce, 1, 2, 3, 4],
            &[0xcf, 1, 2, 3, 4, 5, 6, 7, 8],
            &[0xca, 0, 0, 0, 0],
            &[0xcb, 0, 0, 0, 0, 0, 0, 0, 0],
            &[0xa2, b'h', b'i'],
            &[0xd9, 1, b'x'],
            &[0xda, 0, 1, b'x'],
            &[0xdb, 0, 0, 0, 1, b'x'],
            &[0xc4, 1, 9],
            &[0xc5, 0, 1, 9],
            &[0xc6, 0, 0, 0, 1, 9],
            &[0xd4, 1, 2],
            &[0xd5, 1, 2, 3],
            &[0xd6, 5, 1, 2, 3, 4],
            &[0xd7, 5, 1, 2, 3, 4, 5, 6, 7, 8],
            &[0xc7, 1, 5, 9],
            &[0xc8, 0, 1, 5, 9],
            &[0xc9, 0, 0, 0, 1, 5, 9],
            &[0x92, 1, 2],
            &[0xdc, 0, 1, 1],
            &[0xdd, 0, 0, 0, 1, 1],
            &[0x81, 1, 2],
            &[0xde, 0, 1, 1, 2],
            &[0xdf, 0, 0, 0, 1, 1, 2],
            &[0xd0, 1],
            &[0xd1, 1, 2],
            &[0xd2, 1, 2, 3, 4],
            &[0xd3, 1, 2, 3, 4, 5, 6, 7, 8],
            &[0xd8, 5, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
        ];
        for value in values {
            let mut bytes = value.to_vec();
            bytes.push(0x2a);
            let mut reader = Reader::new(&bytes);
            reader.skip("value").unwrap();
            assert_eq!(reader.rest(), [0x2a], "{value:02x?}");
            for cut in 0..value.len() {
                assert!(Reader::new(&value[..cut]).skip("value").is_err(), "{value:02x?} cut at {cut}");
            }
        }
    }

    #[test]
    fn integers_take_the_shortest_form_and_come_back() {
        for (value, len) in [(0, 1), (127, 1), (128, 2), (255, 2), (256, 3), (65_535, 3), (65_536, 5), (1 << 32, 9)] {
            let mut out = Vec::new();
            put_uint(&mut out, value);
            assert_eq!(out.len(), len);
            assert_eq!(Reader::new(&out).uint("value", u64::MAX), Ok(value));
        }
    }
}

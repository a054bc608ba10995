//! msgpack to values, by serde.
//!
//! Reads what rmp-serde writes, by which values are encoded. It takes the place of rmp-serde's own reading as that comes from
//! peers: here everything that nests is counted, enums and options as well, and the text of an error is bounded, whatever it
//! quotes.

mod parts;

use std::fmt;

use serde::de::value::SeqDeserializer;
use serde::de::{Deserializer, Error, Visitor};
use serde::forward_to_deserialize_any;

use parts::{Alone, Elements, Extension, Variant};

use crate::text::bounded;
use crate::wire::{DecodeError, Reader};

/// Reads one value off the front of a payload.
#[derive(Debug)]
pub(crate) struct Decoder<'de> {
    reader: Reader<'de>,
    /// What may still be entered, in steps.
    steps: usize,
}

/// Why a value was not read.
#[derive(Debug)]
pub(crate) struct Fault(Box<str>);

/// What bytes are read as.
#[derive(Debug, Clone, Copy)]
enum Bin {
    Bytes,
    /// For lists of numbers, which are written as bytes.
    Numbers,
}

impl<'de> Decoder<'de> {
    pub(crate) fn new(payload: &'de [u8]) -> Self {
        Self { reader: Reader::new(payload), steps: DEPTH_MAX * STEPS_OF_A_LEVEL }
    }

    /// Reads what lies so many steps deeper.
    fn enter<T>(&mut self, steps: usize, read: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        let Some(left) = self.steps.checked_sub(steps) else {
            return Err(Fault(bounded(format_args!("values nest more than {DEPTH_MAX} deep"))));
        };
        let before = std::mem::replace(&mut self.steps, left);
        let value = read(self);
        self.steps = before;
        value
    }

    fn value<V: Visitor<'de>>(&mut self, visitor: V, bin: Bin) -> Result<V::Value, Fault> {
        let reader = &mut self.reader;
        match reader.byte(VALUE)? {
            byte @ 0x00..=0x7f => visitor.visit_u8(byte),
            byte @ 0xe0..=0xff => visitor.visit_i8(byte.cast_signed()),
            byte @ 0x80..=0x8f => self.map(u32::from(byte & 0x0f), visitor),
            byte @ 0x90..=0x9f => self.list(u32::from(byte & 0x0f), visitor),
            byte @ 0xa0..=0xbf => self.text(u32::from(byte & 0x1f), visitor),
            0xc0 => visitor.visit_unit(),
            marker @ 0xc1 => Err(DecodeError::Type { field: VALUE, wanted: "msgpack", marker }.into()),
            0xc2 => visitor.visit_bool(false),
            0xc3 => visitor.visit_bool(true),
            marker @ 0xc4..=0xc6 => {
                let len = reader.len(VALUE, marker - 0xc4)?;
                let bytes = reader.take(VALUE, len)?;
                match bin {
                    Bin::Bytes => visitor.visit_borrowed_bytes(bytes),
                    Bin::Numbers => visitor.visit_seq(SeqDeserializer::new(bytes.iter().copied())),
                }
            }
            marker @ (0xc7..=0xc9 | 0xd4..=0xd8) => self.extension(marker, visitor),
            0xca => visitor.visit_f32(f32::from_be_bytes(reader.array(VALUE)?)),
            0xcb => visitor.visit_f64(f64::from_be_bytes(reader.array(VALUE)?)),
            0xcc => visitor.visit_u8(reader.byte(VALUE)?),
            0xcd => visitor.visit_u16(u16::from_be_bytes(reader.array(VALUE)?)),
            0xce => visitor.visit_u32(u32::from_be_bytes(reader.array(VALUE)?)),
            0xcf => visitor.visit_u64(u64::from_be_bytes(reader.array(VALUE)?)),
            0xd0 => visitor.visit_i8(i8::from_be_bytes(reader.array(VALUE)?)),
            0xd1 => visitor.visit_i16(i16::from_be_bytes(reader.array(VALUE)?)),
            0xd2 => visitor.visit_i32(i32::from_be_bytes(reader.array(VALUE)?)),
            0xd3 => visitor.visit_i64(i64::from_be_bytes(reader.array(VALUE)?)),
            marker @ 0xd9..=0xdb => {
                let len = reader.len(VALUE, marker - 0xd9)?;
                self.text(len, visitor)
            }
            marker @ 0xdc..=0xdd => {
                let len = reader.len(VALUE, marker - 0xdc + 1)?;
                self.list(len, visitor)
            }
            marker @ 0xde..=0xdf => {
                let len = reader.len(VALUE, marker - 0xde + 1)?;
                self.map(len, visitor)
            }
        }
    }

    fn text<V: Visitor<'de>>(&mut self, len: u32, visitor: V) -> Result<V::Value, Fault> {
        let bytes = self.reader.take(VALUE, len)?;
        match std::str::from_utf8(bytes) {
            Ok(text) => visitor.visit_borrowed_str(text),
            // For who takes bytes: v1 has texts that are none.
            Err(error) => visitor.visit_borrowed_bytes(bytes).map_err(|_: Fault| Fault(bounded(error))),
        }
    }

    fn list<V: Visitor<'de>>(&mut self, len: u32, visitor: V) -> Result<V::Value, Fault> {
        self.enter(STEPS_OF_A_LEVEL, |decoder| {
            let mut elements = Elements { decoder, left: len };
            let value = visitor.visit_seq(&mut elements)?;
            elements.all_are_read(len, value)
        })
    }

    fn map<V: Visitor<'de>>(&mut self, len: u32, visitor: V) -> Result<V::Value, Fault> {
        self.enter(STEPS_OF_A_LEVEL, |decoder| {
            let mut elements = Elements { decoder, left: len };
            let value = visitor.visit_map(&mut elements)?;
            elements.all_are_read(len, value)
        })
    }

    /// Its type and its bytes.
    fn extension<V: Visitor<'de>>(&mut self, marker: u8, visitor: V) -> Result<V::Value, Fault> {
        let len = match marker {
            0xc7..=0xc9 => self.reader.len(VALUE, marker - 0xc7)?,
            0xd4..=0xd8 => 1 << (marker - 0xd4),
            _ => return Err(Fault("an extension type is expected".into())),
        };
        let kind = i8::from_be_bytes(self.reader.array(VALUE)?);
        visitor.visit_newtype_struct(Extension { kind: Some(kind), bytes: Some(self.reader.take(VALUE, len)?) })
    }

    /// The 16 bytes of a number that is written as those.
    fn wide(&mut self) -> Result<Option<[u8; 16]>, Fault> {
        match self.reader.peek() {
            Some(0xc4) => {
                let bytes = self.reader.bin(VALUE)?;
                bytes.try_into().map(Some).map_err(|_| Fault("a number of 128 bits is 16 bytes".into()))
            }
            _ => Ok(None),
        }
    }
}

impl<'de> Deserializer<'de> for &mut Decoder<'de> {
    type Error = Fault;

    fn is_human_readable(&self) -> bool {
        false
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.value(visitor, Bin::Bytes)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.value(visitor, Bin::Numbers)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Fault> {
        self.value(visitor, Bin::Numbers)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.value(visitor, Bin::Numbers)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.value(visitor, Bin::Numbers)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.reader.nil() {
            true => visitor.visit_none(),
            false => self.enter(1, |decoder| visitor.visit_some(decoder)),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Fault> {
        match self.reader.peek() {
            Some(EMPTY_LIST) => {
                self.reader.byte(VALUE)?;
                visitor.visit_unit()
            }
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Fault> {
        if name == EXTENSION {
            let marker = self.reader.byte(VALUE)?;
            return self.extension(marker, visitor);
        }
        self.enter(1, |decoder| visitor.visit_newtype_struct(decoder))
    }

    /// The variant alone, or a map from it to what it holds.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match self.reader.peek() {
            Some(0x80..=0x8f | 0xde | 0xdf) => match self.reader.map_len(VALUE)? {
                1 => self.enter(STEPS_OF_A_LEVEL, |decoder| visitor.visit_enum(Variant(decoder))),
                len => Err(Fault(bounded(format_args!("a variant is a map of one pair, not of {len}")))),
            },
            _ => visitor.visit_enum(Alone(self)),
        }
    }

    fn deserialize_i128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.wide()? {
            Some(bytes) => visitor.visit_i128(i128::from_be_bytes(bytes)),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_u128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.wide()? {
            Some(bytes) => visitor.visit_u128(u128::from_be_bytes(bytes)),
            None => self.deserialize_any(visitor),
        }
    }

    /// Takes no stack, however deep it nests.
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.reader.skip(VALUE)?;
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool u8 u16 u32 u64 i8 i16 i32 i64 f32 f64 char str string bytes byte_buf unit map identifier
    }
}

impl From<DecodeError> for Fault {
    fn from(error: DecodeError) -> Self {
        Self(bounded(error))
    }
}

impl Error for Fault {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self(bounded(text))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Fault {}

/// How deep lists, maps and variants may nest. Each level costs some hundred bytes of stack, and some thousand in a debug
/// build, of 2 MiB that a thread has.
const DEPTH_MAX: usize = 128;
/// An option, or a struct around one value, takes a step. Those nest with their types, unless a type holds itself.
const STEPS_OF_A_LEVEL: usize = 4;
const EMPTY_LIST: u8 = 0x90;
/// What rmp-serde calls a struct that is written as an extension type.
const EXTENSION: &str = "_ExtStruct";
/// What is read, for the text of an error.
const VALUE: &str = "a value";

#[cfg(test)]
mod tests;

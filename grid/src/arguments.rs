//! The arguments of a call as its payload: one as itself, several as a map from name to value, none as nothing.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeStruct, Serializer};

use crate::codec::encode;
use crate::decoder::Decoder;
use crate::description::Codec;
use crate::error::CodecError;

/// An argument that is written as bytes. An empty one of them looks like any empty list to serde, and must not.
#[derive(Debug, Clone, Copy)]
pub struct AsBytes<'a, T: ?Sized>(pub &'a T);

impl<T: serde_bytes::Serialize + ?Sized> Serialize for AsBytes<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// An argument that is read as bytes.
#[derive(Debug, Clone, Copy)]
pub struct FromBytes<T>(pub T);

impl<'de, T: serde_bytes::Deserialize<'de>> Deserialize<'de> for FromBytes<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self)
    }
}

/// What can be sent as the arguments of a call.
pub trait Arguments {
    #[doc(hidden)]
    fn encode(&self, codec: Codec, out: &mut Vec<u8>) -> Result<(), CodecError>;
}

/// No arguments: an empty payload.
#[derive(Debug, Clone, Copy)]
pub struct NoArguments;

/// One argument, which is encoded as itself.
#[derive(Debug, Clone, Copy)]
pub struct One<'a, T: ?Sized>(pub &'a T);

/// Several arguments with their names.
#[derive(Debug, Clone, Copy)]
pub struct Named<const N: usize, T>(pub [&'static str; N], pub T);

impl Arguments for NoArguments {
    fn encode(&self, _codec: Codec, _out: &mut Vec<u8>) -> Result<(), CodecError> {
        Ok(())
    }
}

impl<T: Serialize + ?Sized> Arguments for One<'_, T> {
    fn encode(&self, codec: Codec, out: &mut Vec<u8>) -> Result<(), CodecError> {
        encode(codec, self.0, out)
    }
}

impl<const N: usize, T> Arguments for Named<N, T>
where
    Self: Serialize,
{
    fn encode(&self, codec: Codec, out: &mut Vec<u8>) -> Result<(), CodecError> {
        encode(codec, self, out)
    }
}

/// A tuple of arguments that can be read out of a payload by their names.
pub trait ReadArguments<'de, const N: usize>: Sized {
    #[doc(hidden)]
    fn read<D: Deserializer<'de>>(names: [&'static str; N], deserializer: D) -> Result<Self, D::Error>;
}

/// Reads several arguments. Unknown names are skipped; one that is missing is `None`, or an error.
pub(crate) fn decode_named<'de, const N: usize, T: ReadArguments<'de, N>>(
    names: [&'static str; N],
    payload: &'de [u8],
) -> Result<T, CodecError> {
    T::read(names, &mut Decoder::new(payload)).map_err(CodecError::new)
}

/// Stands for an argument that was not sent.
struct Missing<E> {
    name: &'static str,
    error: PhantomData<E>,
}

fn missing<'de, T: Deserialize<'de>, E: Error>(name: &'static str) -> Result<T, E> {
    T::deserialize(Missing { name, error: PhantomData })
}

impl<'de, E: Error> Deserializer<'de> for Missing<E> {
    type Error = E;

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, E> {
        Err(E::custom(format_args!("argument {:?} is missing", self.name)))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        visitor.visit_none()
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

macro_rules! argument_tuples {
    ($($count:literal => $($type:ident $field:tt),+;)+) => {$(
        impl<$($type: Serialize + ?Sized),+> Serialize for Named<$count, ($(&$type,)+)> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let Self(names, values) = self;
                let mut map = serializer.serialize_struct("arguments", $count)?;
                let mut names = names.iter();
                $(
                    if let Some(name) = names.next() {
                        map.serialize_field(name, values.$field)?;
                    }
                )+
                map.end()
            }
        }

        impl<'de, $($type: Deserialize<'de>),+> ReadArguments<'de, $count> for ($($type,)+) {
            fn read<D: Deserializer<'de>>(names: [&'static str; $count], from: D) -> Result<Self, D::Error> {
                struct Tuple<$($type),+>([&'static str; $count], PhantomData<($($type,)+)>);

                impl<'de, $($type: Deserialize<'de>),+> Visitor<'de> for Tuple<$($type),+> {
                    type Value = ($($type,)+);

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        write!(f, "a map of the arguments {}", self.0.join(", "))
                    }

                    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                        let mut values: ($(Option<$type>,)+) = Default::default();
                        while let Some(name) = map.next_key::<&str>()? {
                            match self.0.iter().position(|known| *known == name) {
                                $(Some($field) => values.$field = Some(map.next_value()?),)+
                                _ => { map.next_value::<IgnoredAny>()?; }
                            }
                        }
                        let mut names = self.0.into_iter();
                        Ok(($(
                            {
                                let name = names.next().unwrap_or_default();
                                match values.$field {
                                    Some(value) => value,
                                    None => missing(name)?,
                                }
                            },
                        )+))
                    }

                    fn visit_seq<Q: SeqAccess<'de>>(self, mut seq: Q) -> Result<Self::Value, Q::Error> {
                        let mut names = self.0.into_iter();
                        let values = ($(
                            {
                                let name = names.next().unwrap_or_default();
                                match seq.next_element::<$type>()? {
                                    Some(value) => value,
                                    None => missing(name)?,
                                }
                            },
                        )+);
                        while seq.next_element::<IgnoredAny>()?.is_some() {}
                        Ok(values)
                    }
                }

                from.deserialize_any(Tuple(names, PhantomData))
            }
        }
    )+};
}

argument_tuples! {
    2 => T0 0, T1 1;
    3 => T0 0, T1 1, T2 2;
    4 => T0 0, T1 1, T2 2, T3 3;
    5 => T0 0, T1 1, T2 2, T3 3, T4 4;
    6 => T0 0, T1 1, T2 2, T3 3, T4 4, T5 5;
    7 => T0 0, T1 1, T2 2, T3 3, T4 4, T5 5, T6 6;
    8 => T0 0, T1 1, T2 2, T3 3, T4 4, T5 5, T6 6, T7 7;
    9 => T0 0, T1 1, T2 2, T3 3, T4 4, T5 5, T6 6, T7 7, T8 8;
    10 => T0 0, T1 1, T2 2, T3 3, T4 4, T5 5, T6 6, T7 7, T8 8, T9 9;
    11 => T0 0, T1 1, T2 2, T3 3, T4 4, T5 5, T6 6, T7 7, T8 8, T9 9, T10 10;
    12 => T0 0, T1 1, T2 2, T3 3, T4 4, T5 5, T6 6, T7 7, T8 8, T9 9, T10 10, T11 11;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(codec: Codec, arguments: &impl Arguments) -> Vec<u8> {
        let mut out = Vec::new();
        arguments.encode(codec, &mut out).unwrap();
        out
    }

    #[test]
    fn several_arguments_are_a_map_or_an_array_and_both_are_read() {
        let arguments = Named(["key", "value"], (&"k", &[1_u8, 2].as_slice()));
        let named = payload(Codec::Named, &arguments);
        assert_eq!(named, b"\x82\xa3key\xa1k\xa5value\xc4\x02\x01\x02");
        let compact = payload(Codec::Compact, &arguments);
        assert_eq!(compact, b"\x92\xa1k\xc4\x02\x01\x02");
        for bytes in [named, compact] {
            let (key, value): (&str, &[u8]) = decode_named(["key", "value"], &bytes).unwrap();
            assert_eq!((key, value), ("k", &[1, 2][..]));
        }
    }

    #[test]
    fn an_optional_argument_may_be_missing_and_unknown_ones_are_skipped() {
        let old = payload(Codec::Named, &Named(["since", "gone"], (&7_u64, &"x")));
        assert_eq!(decode_named(["limit", "since"], &old), Ok((None::<u8>, 7_u64)));
        assert_eq!(decode_named(["a", "b"], &[0x91, 7]), Ok((7_u64, None::<u8>)));
        assert_eq!(decode_named(["a", "b"], &[0x93, 7, 8, 9]), Ok((7_u64, 8_u8)));
    }

    #[test]
    fn a_missing_argument_is_named() {
        let error = decode_named::<2, (u8, u8)>(["key", "value"], b"\x81\xa3key\x01").unwrap_err();
        assert_eq!(error.to_string(), "argument \"value\" is missing");
        let error = decode_named::<2, (u8, u8)>(["key", "value"], &[0x05]).unwrap_err();
        assert!(error.to_string().contains("a map of the arguments key, value"), "{error}");
    }
}

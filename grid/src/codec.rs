//! Values to msgpack and back, by serde.
//!
//! Byte slices and vectors are msgpack `bin`, as v1 peers write them: arguments and answers always, fields inside them
//! unless they are empty. An empty field is written as an empty array, which an owned type reads as well; give a field
//! that borrows `serde_bytes`.

use std::any::Any;

use rmp_serde::Serializer;
use rmp_serde::config::BytesMode;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::arguments::{AsBytes, FromBytes};
use crate::decoder::Decoder;
use crate::description::Codec;
use crate::error::{CodecError, RemoteError};
use crate::spare::{self, Depth, Growing};
use crate::wire::{PayloadBuf, is_one_value};

/// Appends an encoded value.
pub(crate) fn encode(codec: Codec, value: &(impl Serialize + ?Sized), out: &mut Vec<u8>) -> Result<(), CodecError> {
    let mut growing = Growing::new(out);
    let serializer = Serializer::new(&mut growing).with_bytes(BytesMode::ForceIterables);
    let encoded = match codec {
        Codec::Named => value.serialize(&mut serializer.with_struct_map()),
        Codec::Compact => value.serialize(&mut { serializer }),
    };
    encoded.map_err(|error| match growing.depth {
        Depth::TooGreat => CodecError::new("the value nests too deep"),
        Depth::Usual => CodecError::new(error),
    })
}

/// Decodes a value that may borrow from the payload. Structs are read in either form.
pub(crate) fn decode<'de, T: Deserialize<'de>>(payload: &'de [u8]) -> Result<T, CodecError> {
    T::deserialize(&mut Decoder::new(payload)).map_err(CodecError::new)
}

/// Encodes the answer of a handler; `()` is the empty payload.
pub(crate) fn encode_answer<T: Serialize + 'static>(codec: Codec, answer: &T) -> Result<PayloadBuf, CodecError> {
    let mut payload = spare::payload();
    let any = answer as &dyn Any;
    if let Some(bytes) = any.downcast_ref::<Vec<u8>>() {
        encode(codec, &AsBytes(bytes), payload.writer())?;
    } else if let Some(bytes) = any.downcast_ref::<Option<Vec<u8>>>() {
        encode(codec, &AsBytes(bytes), payload.writer())?;
    } else if !any.is::<()>() {
        encode(codec, answer, payload.writer())?;
    }
    Ok(payload)
}

/// Decodes the answer of a handler. An empty payload stands for nil, so that `()` and `None` come out of it. Bytes are taken
/// at once, and not one by one as serde does it.
pub(crate) fn decode_answer<T: DeserializeOwned + 'static>(payload: &[u8]) -> Result<T, CodecError> {
    let payload = if payload.is_empty() { &[NIL] } else { payload };
    let mut answer: Option<T> = None;
    let any = &mut answer as &mut dyn Any;
    if let Some(bytes) = any.downcast_mut::<Option<Vec<u8>>>() {
        *bytes = Some(decode::<FromBytes<_>>(payload)?.0);
    } else if let Some(bytes) = any.downcast_mut::<Option<Option<Vec<u8>>>>() {
        *bytes = Some(decode::<FromBytes<_>>(payload)?.0);
    }
    answer.map_or_else(|| decode(payload), Ok)
}

/// Encodes the error of a handler. A [`RemoteError`] is its bare text, as v1 peers have it.
pub(crate) fn encode_fault<E: Serialize + 'static>(codec: Codec, fault: &E) -> Result<PayloadBuf, CodecError> {
    if let Some(text) = (fault as &dyn Any).downcast_ref::<RemoteError>() {
        return Ok(spare::payload_of(text.message().as_bytes()));
    }
    let mut payload = spare::payload();
    encode(codec, fault, payload.writer())?;
    Ok(payload)
}

/// Decodes the error of a handler.
///
/// # Errors
/// When the bytes are not one whole value of this type; a v1 peer may have sent a text instead.
pub(crate) fn decode_fault<E: DeserializeOwned + 'static>(payload: &[u8]) -> Result<E, CodecError> {
    let mut fault: Option<E> = None;
    if let Some(text) = (&mut fault as &mut dyn Any).downcast_mut::<Option<RemoteError>>() {
        *text = Some(RemoteError::new(String::from_utf8_lossy(payload).into_owned()));
    }
    match fault {
        Some(fault) => Ok(fault),
        None if is_one_value(payload) => decode(payload),
        None => Err(CodecError::new("the error is not one msgpack value")),
    }
}

/// The msgpack nil.
const NIL: u8 = 0xc0;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Entry {
        key: String,
        data: Vec<u8>,
    }

    fn encoded(codec: Codec, value: &impl Serialize) -> Vec<u8> {
        let mut out = Vec::new();
        encode(codec, value, &mut out).unwrap();
        out
    }

    #[test]
    fn structs_are_maps_or_arrays_and_both_are_read() {
        let entry = Entry { key: "k".into(), data: vec![1, 2] };
        let named = encoded(Codec::Named, &entry);
        assert_eq!(named, b"\x82\xa3key\xa1k\xa4data\xc4\x02\x01\x02");
        let compact = encoded(Codec::Compact, &entry);
        assert_eq!(compact, b"\x92\xa1k\xc4\x02\x01\x02");
        assert_eq!(decode::<Entry>(&named).as_ref(), Ok(&entry));
        assert_eq!(decode::<Entry>(&compact), Ok(entry));
    }

    #[test]
    fn bytes_are_bin_and_borrow() {
        let bytes = encoded(Codec::Named, &[1_u8, 2, 3].as_slice());
        assert_eq!(bytes, [0xc4, 3, 1, 2, 3]);
        assert_eq!(decode::<&[u8]>(&bytes).unwrap().as_ptr(), bytes[2..].as_ptr());
        assert_eq!(encoded(Codec::Named, &Some(vec![7_u8])), [0xc4, 1, 7]);
        assert_eq!(decode::<Option<Vec<u8>>>(&[0xc4, 1, 7]), Ok(Some(vec![7])));
        assert_eq!(decode::<Vec<u8>>(&[0xc4, 0]), Ok(vec![]));
    }

    #[test]
    fn empty_bytes_are_bin_too() {
        assert_eq!(encoded(Codec::Named, &AsBytes(&b"".as_slice())), [0xc4, 0]);
        assert_eq!(encoded(Codec::Named, &AsBytes(&Some(b"".as_slice()))), [0xc4, 0]);
        assert_eq!(encoded(Codec::Named, &AsBytes(&None::<Vec<u8>>)), [NIL]);
        for mut answer in
            [encode_answer(Codec::Named, &Vec::<u8>::new()), encode_answer(Codec::Named, &Some(Vec::<u8>::new()))]
        {
            let payload = answer.as_mut().unwrap();
            assert!(payload.writer().ends_with(&[0xc4, 0]) && payload.len() == 2);
        }
        assert_eq!(decode::<&[u8]>(&[0xc4, 0]), Ok(&[][..]));
    }

    #[test]
    fn bytes_come_through_where_serde_holds_them_back_and_empty_if_they_are_marked() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "kind")]
        enum Tagged {
            Blob {
                #[serde(with = "serde_bytes")]
                data: Vec<u8>,
            },
        }
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Borrowed<'a> {
            #[serde(with = "serde_bytes")]
            data: &'a [u8],
        }
        for data in [vec![], vec![1, 2]] {
            let borrowed = encoded(Codec::Named, &Borrowed { data: &data });
            assert_eq!(decode::<Borrowed<'_>>(&borrowed), Ok(Borrowed { data: &data }));
            let tagged = Tagged::Blob { data };
            assert_eq!(decode(&encoded(Codec::Named, &tagged)), Ok(tagged));
        }
    }

    #[test]
    fn the_typed_payloads_of_v1_are_read_and_written() {
        type Strings = BTreeMap<String, String>;
        let one: Strings = [("key".to_owned(), "value".to_owned())].into();
        let mss_one = b"\x81\xa3key\xa5value";
        assert_eq!(encoded(Codec::Named, &one), mss_one);
        assert_eq!(decode::<Strings>(mss_one), Ok(one.clone()));
        assert_eq!(decode::<Option<Strings>>(&[NIL]), Ok(None));
        assert_eq!(decode::<Strings>(&[0x80]), Ok(Strings::new()));
        assert_eq!(decode::<Option<Vec<u8>>>(&[NIL]), Ok(None));
        let values: BTreeMap<String, Vec<String>> = [("a".to_owned(), vec!["1".to_owned(), "2".to_owned()])].into();
        assert_eq!(encoded(Codec::Named, &values), b"\x81\xa1a\x92\xa11\xa12");
        assert_eq!(decode::<Vec<Strings>>(b"\x92\x81\xa3key\xa5value\x80"), Ok(vec![one, Strings::new()]));
        assert_eq!(encoded(Codec::Named, &b"{\"A\":1}\n".to_vec()), b"\xc4\x08{\"A\":1}\n");
    }

    #[test]
    fn an_empty_payload_is_unit_or_none() {
        assert_eq!(decode_answer::<()>(&[]), Ok(()));
        assert_eq!(decode_answer::<Option<u8>>(&[]), Ok(None));
        assert!(decode_answer::<u8>(&[]).is_err());
        assert!(encode_answer(Codec::Named, &()).unwrap().is_empty());
        assert_eq!(encode_answer(Codec::Named, &Some(())).unwrap().len(), 1);
    }

    #[test]
    fn a_text_error_goes_bare_and_a_typed_one_whole() {
        let text = encode_fault(Codec::Named, &RemoteError::new("boom")).unwrap();
        assert_eq!(text.len(), 4);
        assert_eq!(decode_fault(b"boom"), Ok(RemoteError::new("boom")));
        assert_eq!(decode_fault::<Entry>(b"\x92\xa1k\xc4\x01\x01").unwrap().data, [1]);
        assert!(decode_fault::<u8>(b"boom").is_err(), "a text whose first byte is a msgpack integer");
        assert!(decode_fault::<Entry>(b"").is_err());
    }

    #[test]
    fn a_value_that_nests_too_deep_is_an_error_and_no_stack_overflow() {
        struct Deep(usize);

        impl Serialize for Deep {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self.0 {
                    0 => serializer.serialize_unit(),
                    levels => serializer.serialize_newtype_variant("Deep", 0, "Deep", &Self(levels - 1)),
                }
            }
        }

        let encoded = |levels| encode(Codec::Named, &Deep(levels), &mut Vec::new());
        assert_eq!(encoded(128), Ok(()));
        assert!(encoded(1_000_000).unwrap_err().to_string().contains("nests too deep"));
    }

    #[test]
    fn a_claimed_length_takes_no_memory() {
        let claim = [0xdd, 0xff, 0xff, 0xff, 0xff];
        assert!(decode::<Vec<u64>>(&claim).is_err());
        let claim = [0xc6, 0xff, 0xff, 0xff, 0xff];
        assert!(decode::<Vec<u8>>(&claim).is_err());
    }
}

//! Any bytes as values, as grid reads them and as rmp-serde does.

use std::collections::BTreeMap;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::choices::Choices;
use crate::codec::decode;
use crate::error::CodecError;
use crate::text::TEXT_MAX;

/// Decodes a value of one of some types. It is what rmp-serde decodes, or an error of few words.
pub fn value(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let kind = choices.byte();
    let payload = choices.rest();
    match kind % 8 {
        0 => agree::<Assorted>(payload),
        1 => agree::<Tree>(payload),
        2 => agree::<Any>(payload),
        3 => agree::<Vec<(Tree, Option<Wrapped>)>>(payload),
        4 => agree::<BTreeMap<u8, Vec<Option<bool>>>>(payload),
        5 => agree::<(Extended, ByteBuf)>(payload),
        6 => agree::<(Nothing, u128, i128, char, f32)>(payload),
        _ => drop(decode::<IgnoredAny>(payload)),
    }
}

/// A value of each shape that serde knows.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Assorted {
    pub(crate) truth: bool,
    pub(crate) small: (u8, i8, u16, i16),
    pub(crate) large: (u32, i32, u64, i64),
    pub(crate) wide: (u128, i128),
    pub(crate) fractions: (f32, f64),
    pub(crate) letter: char,
    pub(crate) text: String,
    pub(crate) bytes: ByteBuf,
    pub(crate) numbers: Vec<u8>,
    pub(crate) list: Vec<i64>,
    pub(crate) map: BTreeMap<String, Option<u16>>,
    pub(crate) unit: (),
    pub(crate) nothing: Nothing,
    pub(crate) wrapped: Wrapped,
    pub(crate) tree: Tree,
    pub(crate) extension: Extended,
    #[serde(default)]
    pub(crate) next: Option<Box<Assorted>>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Nothing;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Wrapped(pub(crate) Vec<Option<u8>>);

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename = "_ExtStruct")]
pub(crate) struct Extended(pub(crate) (i8, ByteBuf));

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) enum Tree {
    #[default]
    Leaf,
    Not(Box<Tree>),
    Both(Box<Tree>, Box<Tree>),
    Named {
        name: String,
        tree: Option<Box<Tree>>,
    },
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Any {
    Number(i64),
    Text(String),
    List(Vec<Any>),
    Map(BTreeMap<String, Any>),
}

/// Both read the same, or neither reads anything.
pub(crate) fn agree<T: DeserializeOwned + std::fmt::Debug>(payload: &[u8]) {
    let (ours, theirs) = (decode::<T>(payload), rmp_serde::from_slice::<T>(payload));
    assert!(ours.as_ref().err().is_none_or(|error| error.to_string().len() <= TEXT_MAX), "{ours:?}");
    match (&ours, &theirs) {
        (Ok(ours), Ok(theirs)) => assert_eq!(format!("{ours:?}"), format!("{theirs:?}"), "{payload:02x?}"),
        (Err(_), Err(_)) => {}
        // Its variants may nest in any depth, and a negative number becomes a large one where there is no sign.
        (Err(error), Ok(_)) if says(error, "deep") || says(error, "expected u128") => {}
        _ => panic!("{ours:?}, but {theirs:?}: {payload:02x?}"),
    }
}

fn says(error: &CodecError, what: &str) -> bool {
    error.to_string().contains(what)
}

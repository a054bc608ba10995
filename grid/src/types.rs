//! That a type may be an argument, an answer, an item or an error: asserted where generated code uses it, so that a
//! missing derive is one error, at the type, that says what to derive.
//!
//! The plain bounds would give several: the client needs `Serialize` of an argument, the server `Deserialize`, each in
//! a function of its own. So generated code asks one of these traits, in the same words in both places, and the compiler
//! shows equal errors once: an argument is passed through a function that returns it as it is; of any other type the
//! encoding is asked for, and passed along to what encodes and decodes.
//!
//! What stands behind must not fail for the same reason again. So the type there is `Wire`, which is the argument's own
//! type, or the [`Encodes`] of the others, if the bounds hold and otherwise unknown, and nothing is reported about unknown
//! types. Hence also the second impl of each trait: if there were only one, the compiler would take its `Wire` without a
//! look at the bounds.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::codec::{decode_answer, decode_fault, encode_answer, encode_fault};
use crate::description::Codec;
use crate::error::CodecError;
use crate::wire::PayloadBuf;

/// A type of which arguments can be. `Wire` is the type itself.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of a call",
    label = "this type, or one inside it, lacks `#[derive(serde::Serialize, serde::Deserialize)]`"
)]
pub trait ArgumentType<'de, Wire>: Sized {
    /// What the client encodes.
    fn sent(&self) -> &Wire;
    /// What the client encodes of a slice.
    fn sent_slice(slice: &[Self]) -> &[Wire];
    /// What the server has decoded.
    fn received(wire: Wire) -> Self;
    /// What the server has decoded of a slice.
    fn received_slice(wire: Vec<Wire>) -> Vec<Self>;
}

/// A type of which answers can be. `Wire` says how.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the answer of a call",
    label = "this type, or one inside it, lacks `#[derive(serde::Serialize, serde::Deserialize)]`"
)]
pub trait AnswerType<Wire> {
    /// How it is sent.
    fn encoding() -> Wire;
}

/// A type of which the items of streams can be. `Wire` says how.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an item of a stream",
    label = "this type, or one inside it, lacks `#[derive(serde::Serialize, serde::Deserialize)]` or is not `Send`"
)]
pub trait ItemType<Wire> {
    /// How it is sent.
    fn encoding() -> Wire;
}

/// A type of which the errors of methods can be. `Wire` says how.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the error of a call",
    label = "this type, or one inside it, lacks `#[derive(serde::Serialize, serde::Deserialize)]`"
)]
pub trait ErrorType<Wire> {
    /// How it is sent.
    fn encoding() -> Wire;
}

/// A way in which values of `T` can be sent.
pub trait Encodes<T> {
    #[doc(hidden)]
    const ENCODING: Encoding<T>;
}

/// How values of `T` become payloads and come out of them.
#[derive(Debug)]
pub struct Encoding<T> {
    pub(crate) encode: fn(Codec, &T) -> Result<PayloadBuf, CodecError>,
    pub(crate) decode: fn(Bytes) -> Result<T, CodecError>,
}

/// As answers are sent, and items like them.
#[derive(Debug, Clone, Copy)]
pub struct AsAnswer;

/// As errors are sent.
#[derive(Debug, Clone, Copy)]
pub struct AsFault;

impl<T: Serialize + DeserializeOwned + 'static> Encodes<T> for AsAnswer {
    const ENCODING: Encoding<T> = Encoding { encode: encode_answer, decode: |payload| decode_answer(&payload) };
}

impl<E: Serialize + DeserializeOwned + 'static> Encodes<E> for AsFault {
    const ENCODING: Encoding<E> = Encoding { encode: encode_fault, decode: |payload| decode_fault(&payload) };
}

#[diagnostic::do_not_recommend]
impl<'de, T: Serialize + Deserialize<'de>> ArgumentType<'de, T> for T {
    fn sent(&self) -> &T {
        self
    }
    fn sent_slice(slice: &[T]) -> &[T] {
        slice
    }
    fn received(wire: T) -> T {
        wire
    }
    fn received_slice(wire: Vec<T>) -> Vec<T> {
        wire
    }
}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + 'static> AnswerType<AsAnswer> for T {
    fn encoding() -> AsAnswer {
        AsAnswer
    }
}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + Send + 'static> ItemType<AsAnswer> for T {
    fn encoding() -> AsAnswer {
        AsAnswer
    }
}

#[diagnostic::do_not_recommend]
impl<E: Serialize + DeserializeOwned + 'static> ErrorType<AsFault> for E {
    fn encoding() -> AsFault {
        AsFault
    }
}

/// Implemented by nothing, so that the impls below are for nothing.
pub trait Never {
    #[doc(hidden)]
    fn never<T>() -> T;
}

/// The `Wire` of nothing.
#[derive(Debug)]
pub enum NoWire {}

#[diagnostic::do_not_recommend]
impl<T: Never> ArgumentType<'_, NoWire> for T {
    fn sent(&self) -> &NoWire {
        T::never()
    }
    fn sent_slice(_: &[T]) -> &[NoWire] {
        T::never()
    }
    fn received(_: NoWire) -> T {
        T::never()
    }
    fn received_slice(_: Vec<NoWire>) -> Vec<T> {
        T::never()
    }
}

#[diagnostic::do_not_recommend]
impl<T: Never> AnswerType<NoWire> for T {
    fn encoding() -> NoWire {
        T::never()
    }
}

#[diagnostic::do_not_recommend]
impl<T: Never> ItemType<NoWire> for T {
    fn encoding() -> NoWire {
        T::never()
    }
}

#[diagnostic::do_not_recommend]
impl<E: Never> ErrorType<NoWire> for E {
    fn encoding() -> NoWire {
        E::never()
    }
}

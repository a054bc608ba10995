//! That a type may be an argument, an answer or an error: asserted where generated code uses it, so that a missing
//! derive is one error, at the type, that says what to derive.
//!
//! The plain bounds would give several: the client needs `Serialize` of an argument, the server `Deserialize`, each in
//! a function of its own. So generated code passes each value through a function of these traits, which returns it as
//! it is. The diagnostic is then the same in both places, and the compiler shows equal ones once.
//!
//! What stands behind such a function must not fail for the same reason again. So the type there is `Wire`, which is
//! the type itself if the bounds hold and otherwise unknown, and nothing is reported about unknown types. Hence also
//! the second impl of each trait: if there were only one, the compiler would take its `Wire` without a look at the bounds.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::Call;

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

/// A type of which answers can be. `Wire` is the type itself.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the answer of a call",
    label = "this type, or one inside it, lacks `#[derive(serde::Serialize, serde::Deserialize)]`"
)]
pub trait AnswerType<Wire>: Sized {
    /// What the server encodes.
    fn sent(self) -> Wire;
    /// What the server encodes of a method that can fail.
    fn sent_ok<E>(result: Result<Self, E>) -> Result<Wire, E>;
    /// What the client decodes.
    fn received<E>(call: Call<Wire, E>) -> Call<Self, E>;
}

/// A type of which the errors of methods can be. `Wire` is the type itself.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the error of a call",
    label = "this type, or one inside it, lacks `#[derive(serde::Serialize, serde::Deserialize)]`"
)]
pub trait ErrorType<Wire>: Sized {
    /// What the server encodes.
    fn sent_err<T>(result: Result<T, Self>) -> Result<T, Wire>;
    /// What the client decodes.
    fn received<T>(call: Call<T, Wire>) -> Call<T, Self>;
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
impl<T: Serialize + DeserializeOwned + 'static> AnswerType<T> for T {
    fn sent(self) -> T {
        self
    }
    fn sent_ok<E>(result: Result<T, E>) -> Result<T, E> {
        result
    }
    fn received<E>(call: Call<T, E>) -> Call<T, E> {
        call
    }
}

#[diagnostic::do_not_recommend]
impl<E: Serialize + DeserializeOwned + 'static> ErrorType<E> for E {
    fn sent_err<T>(result: Result<T, E>) -> Result<T, E> {
        result
    }
    fn received<T>(call: Call<T, E>) -> Call<T, E> {
        call
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
    fn sent(self) -> NoWire {
        T::never()
    }
    fn sent_ok<E>(_: Result<T, E>) -> Result<NoWire, E> {
        T::never()
    }
    fn received<E>(_: Call<NoWire, E>) -> Call<T, E> {
        T::never()
    }
}

#[diagnostic::do_not_recommend]
impl<E: Never> ErrorType<NoWire> for E {
    fn sent_err<T>(_: Result<T, E>) -> Result<T, NoWire> {
        E::never()
    }
    fn received<T>(_: Call<T, NoWire>) -> Call<T, E> {
        E::never()
    }
}

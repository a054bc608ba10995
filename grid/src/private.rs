//! What generated code calls. Not part of the public interface: it changes without notice.

use serde::de::DeserializeOwned;

pub use crate::arguments::{Arguments, AsBytes, Named, NoArguments, One};
use crate::call::{Call, Decoders};
use crate::codec::{decode_answer, decode_fault};
use crate::connection::Connection;
use crate::description::MethodDescription;
use crate::error::CodecError;
pub use crate::handler::Request;
pub use crate::rt::{Answer, Failure, Serving};
pub use crate::types::{AnswerType, ArgumentType, ErrorType};
use crate::wire::PayloadBuf;

/// A call of a method that can fail.
pub fn call<T, E, A>(connection: &Connection, method: &'static MethodDescription, arguments: A) -> Call<T, E>
where
    T: DeserializeOwned,
    E: DeserializeOwned + 'static,
    A: Arguments,
{
    let decoders = Decoders { answer: |payload| decode_answer(&payload), error: |payload| decode_fault(&payload) };
    start(connection, method, arguments, decoders)
}

/// A call of a method that cannot fail itself.
pub fn call_infallible<T, A>(
    connection: &Connection,
    method: &'static MethodDescription,
    arguments: A,
) -> Call<T, std::convert::Infallible>
where
    T: DeserializeOwned,
    A: Arguments,
{
    let decoders = Decoders {
        answer: |payload| decode_answer(&payload),
        error: |_| Err(CodecError::new("the method cannot fail, and the remote sent an error")),
    };
    start(connection, method, arguments, decoders)
}

fn start<T, E>(
    connection: &Connection,
    method: &'static MethodDescription,
    arguments: impl Arguments,
    decoders: Decoders<T, E>,
) -> Call<T, E> {
    let mut payload = PayloadBuf::new();
    let payload = arguments.encode(method.codec, payload.writer()).map(|()| payload);
    Call::new(connection.clone(), method.id, payload, decoders).of_method(method.service, method.name, method.timeout)
}

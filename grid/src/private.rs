//! What generated code calls. Not part of the public interface: it changes without notice.

use std::convert::Infallible;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::answer_future::AnswerFuture;
pub use crate::arguments::{Arguments, AsBytes, Named, NoArguments, One};
use crate::call::{Call, Shape};
use crate::codec::{decode_answer, decode_fault};
use crate::connection::Connection;
use crate::description::MethodDescription;
use crate::error::CodecError;
use crate::half::Half;
pub use crate::handler::Request;
use crate::inbound::Inbound;
use crate::outbound::Outbound;
pub use crate::outcome::Faults;
pub use crate::rt::{Answer, Failure, Serving};
pub use crate::types::{AnswerType, ArgumentType, ErrorType};
use crate::wire::PayloadBuf;

impl<E: DeserializeOwned + 'static> Faults<E> {
    /// Of a method that can fail.
    #[must_use]
    pub fn typed() -> Self {
        Self { decode: |payload| decode_fault(&payload) }
    }
}

impl Faults<Infallible> {
    /// Of a method that cannot fail itself.
    #[must_use]
    pub fn none() -> Self {
        Self { decode: |_| Err(CodecError::new("the method cannot fail, and the remote sent an error")) }
    }
}

/// A call of a method with one request and one answer.
pub fn call<T, E, A>(
    connection: &Connection,
    method: &'static MethodDescription,
    arguments: A,
    faults: Faults<E>,
) -> Call<T, E>
where
    T: DeserializeOwned,
    A: Arguments,
{
    start(connection, method, arguments, Shape::Single(|payload| decode_answer(&payload)), faults)
}

/// A call of a method with a stream of responses.
pub fn call_responses<O, E, A>(
    connection: &Connection,
    method: &'static MethodDescription,
    arguments: A,
    faults: Faults<E>,
) -> Call<Inbound<O, E>, E>
where
    O: DeserializeOwned,
    A: Arguments,
{
    start(connection, method, arguments, stream(method, Inbound::typed), faults)
}

/// A call of a method with a stream of requests and one answer.
pub fn call_requests<I, T, E, A>(
    connection: &Connection,
    method: &'static MethodDescription,
    arguments: A,
    faults: Faults<E>,
) -> Call<(Outbound<I>, AnswerFuture<T, E>), E>
where
    I: Serialize + 'static,
    T: DeserializeOwned,
    A: Arguments,
{
    let open = |half: Half, faults| {
        let answer = AnswerFuture::new(half.clone(), |payload| decode_answer(&payload), faults);
        (Outbound::typed(half), answer)
    };
    start(connection, method, arguments, stream(method, open), faults)
}

/// A call of a method with streams in both directions.
pub fn call_two_way<I, O, E, A>(
    connection: &Connection,
    method: &'static MethodDescription,
    arguments: A,
    faults: Faults<E>,
) -> Call<(Outbound<I>, Inbound<O, E>), E>
where
    I: Serialize + 'static,
    O: DeserializeOwned,
    A: Arguments,
{
    let open = |half: Half, faults| (Outbound::typed(half.clone()), Inbound::typed(half, faults));
    start(connection, method, arguments, stream(method, open), faults)
}

fn stream<T, E>(method: &MethodDescription, open: fn(Half, Faults<E>) -> T) -> Shape<T, E> {
    Shape::Stream { windows: method.kind.windows().unwrap_or_default().clamped(), codec: method.codec, open }
}

fn start<T, E>(
    connection: &Connection,
    method: &'static MethodDescription,
    arguments: impl Arguments,
    shape: Shape<T, E>,
    faults: Faults<E>,
) -> Call<T, E> {
    let mut payload = PayloadBuf::new();
    let payload = arguments.encode(method.codec, payload.writer()).map(|()| payload);
    let call = Call::new(connection.clone(), method.id, payload, shape, faults);
    call.of_method(method.service, method.name, method.timeout)
}

//! What generated code calls. Not part of the public interface: it changes without notice.

use std::convert::Infallible;

use crate::answer_future::AnswerFuture;
pub use crate::arguments::{Arguments, AsBytes, FromBytes, Named, NoArguments, One};
use crate::call::{Call, Shape};
use crate::connection::Connection;
use crate::description::MethodDescription;
use crate::error::CodecError;
use crate::half::Half;
pub use crate::handler::Request;
use crate::inbound::Inbound;
use crate::outbound::Outbound;
pub use crate::outcome::Faults;
pub use crate::rt::{Answer, Failure, Serving};
use crate::spare;
pub use crate::types::{AnswerType, ArgumentType, Encodes, ErrorType, ItemType};

impl<E> Faults<E> {
    /// Of a method that can fail.
    #[must_use]
    pub fn typed<F: Encodes<E>>(_: F) -> Self {
        Self { decode: F::ENCODING.decode }
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
pub fn call<T, E, A, X>(
    connection: &Connection,
    method: &'static MethodDescription,
    arguments: A,
    _: X,
    faults: Faults<E>,
) -> Call<T, E>
where
    A: Arguments,
    X: Encodes<T>,
{
    start(connection, method, arguments, Shape::Single(X::ENCODING.decode), faults)
}

/// A call of a method with a stream of responses.
pub fn call_responses<O, E, A, X>(
    connection: &Connection,
    method: &'static MethodDescription,
    arguments: A,
    _: X,
    faults: Faults<E>,
) -> Call<Inbound<O, E>, E>
where
    A: Arguments,
    X: Encodes<O>,
{
    let open = |half, faults| Inbound::new(half, X::ENCODING.decode, faults);
    start(connection, method, arguments, stream(method, open), faults)
}

/// A call of a method with a stream of requests and one answer.
pub fn call_requests<I, T, E, A, X, Y>(
    connection: &Connection,
    method: &'static MethodDescription,
    arguments: A,
    _: X,
    _: Y,
    faults: Faults<E>,
) -> Call<(Outbound<I>, AnswerFuture<T, E>), E>
where
    A: Arguments,
    X: Encodes<I>,
    Y: Encodes<T>,
{
    let open = |half: Half, faults| {
        let answer = AnswerFuture::new(half.clone(), Y::ENCODING.decode, faults);
        (Outbound::new(half, X::ENCODING.encode), answer)
    };
    start(connection, method, arguments, stream(method, open), faults)
}

/// A call of a method with streams in both directions.
pub fn call_two_way<I, O, E, A, X, Y>(
    connection: &Connection,
    method: &'static MethodDescription,
    arguments: A,
    _: X,
    _: Y,
    faults: Faults<E>,
) -> Call<(Outbound<I>, Inbound<O, E>), E>
where
    A: Arguments,
    X: Encodes<I>,
    Y: Encodes<O>,
{
    let open = |half: Half, faults| {
        let inbound = Inbound::new(half.clone(), Y::ENCODING.decode, faults);
        (Outbound::new(half, X::ENCODING.encode), inbound)
    };
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
    let mut payload = spare::payload();
    let payload = arguments.encode(method.codec, payload.writer()).map(|()| payload);
    let call = Call::new(connection.share(), method.id, payload, shape, faults);
    call.of_method(method.service, method.name, method.timeout)
}

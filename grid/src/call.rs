//! A call on its way: made by a generated client or by id, started by awaiting it.

use std::fmt;
use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::call_future::CallFuture;
use crate::connection::Connection;
use crate::description::Codec;
use crate::error::{CallError, CodecError, RemoteError};
use crate::half::Half;
use crate::inbound::Inbound;
use crate::middleware::Watch;
use crate::outbound::Outbound;
use crate::outcome::Faults;
use crate::rt::{Inherited, inherited};
use crate::spare;
use crate::windows::Windows;
use crate::wire::{HandlerId, PayloadBuf};

/// A call that has not started: awaiting it sends the request and gives the answer. For a stream it gives its halves, once
/// the remote has answered that it runs the call.
///
/// The arguments are already encoded, so nothing is borrowed from them. It is a future once `.await` or `into_future()`
/// makes it one: `tokio::spawn` and `join_all` want the latter.
///
/// # Cancel safety
/// Dropping the future cancels the call, here and on the remote, whose handler is dropped too. Whether the handler had
/// done its work by then is not known. One that waits for room in the outbox and is not polled keeps its place there:
/// what else is to go out on the link, answers too, waits behind it. Poll it or drop it.
///
/// # Errors
/// See [`CallError`]. A call ends exactly once.
#[must_use = "a call does nothing until it is awaited"]
pub struct Call<T, E> {
    pub(crate) connection: Connection,
    pub(crate) handler: HandlerId,
    /// What the macro knows of it, for people.
    pub(crate) label: Option<(&'static str, &'static str)>,
    /// Taken when the call starts.
    pub(crate) payload: Option<Result<PayloadBuf, CodecError>>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) timeout_default: Option<Duration>,
    pub(crate) deadline: Option<Instant>,
    /// What has come of the three, once it is known.
    pub(crate) until: Option<Instant>,
    pub(crate) inherited: Inherited,
    pub(crate) metadata: Vec<(Box<str>, Box<str>)>,
    pub(crate) shape: Shape<T, E>,
    pub(crate) faults: Faults<E>,
    /// Once the middleware of the node, if there is any, has let it pass.
    pub(crate) watch: Option<Arc<Watch>>,
}

/// How what a call comes to becomes a value.
pub(crate) enum Shape<T, E> {
    /// The answer.
    Single(fn(Bytes) -> Result<T, CodecError>),
    /// The halves of an open stream.
    Stream { windows: Windows, codec: Codec, open: fn(Half, Faults<E>) -> T },
}

impl<T, E> Call<T, E> {
    pub(crate) fn new(
        connection: Connection,
        handler: HandlerId,
        payload: Result<PayloadBuf, CodecError>,
        shape: Shape<T, E>,
        faults: Faults<E>,
    ) -> Self {
        Self {
            connection,
            handler,
            label: None,
            payload: Some(payload),
            timeout: None,
            timeout_default: None,
            deadline: None,
            until: None,
            inherited: inherited(),
            metadata: Vec::new(),
            shape,
            faults,
            watch: None,
        }
    }

    pub(crate) fn of_method(mut self, service: &'static str, method: &'static str, timeout: Option<Duration>) -> Self {
        self.label = Some((service, method));
        self.timeout_default = timeout;
        self
    }

    /// Ends the call with [`CallError::DeadlineExceeded`] if its answer has not come after this long, counted from when
    /// it is first polled; a stream, if it has not ended. Replaces the timeout of the method and
    /// [`Timeouts::call`](crate::Timeouts::call), which streams do not have.
    ///
    /// Inside a handler, a call has at most what is left of the time of the call being served, unless that is detached.
    /// Tasks that a handler spawns inherit nothing. Less than a millisecond cannot be sent, and has always passed.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Ends the call with [`CallError::DeadlineExceeded`] if its answer has not come by then. With a timeout as well,
    /// whichever is earlier counts.
    pub fn deadline(mut self, at: impl Into<Instant>) -> Self {
        self.deadline = Some(at.into());
        self
    }

    /// Sends a name and a value along, for [`Context::metadata`](crate::Context::metadata) of the handler. A second
    /// value of one name replaces the first. A v1 peer is not sent any.
    ///
    /// `traceparent` is the W3C trace context; calls made inside a handler pass on the one of the call being served.
    ///
    /// # Limits
    /// [`Limits::metadata_bytes_max`](crate::Limits::metadata_bytes_max) for all names and values of the call.
    pub fn metadata(mut self, name: impl Into<Box<str>>, value: impl Into<Box<str>>) -> Self {
        let (name, value) = (name.into(), value.into());
        self.metadata.retain(|(known, _)| *known != name);
        self.metadata.push((name, value));
        self
    }
}

impl Call<Bytes, RemoteError> {
    pub(crate) fn raw(connection: Connection, handler: HandlerId, payload: &[u8]) -> Self {
        Self::new(connection, handler, Ok(spare::payload_of(payload)), Shape::Single(Ok), Faults::text())
    }
}

/// What a stream of bytes opens into.
pub(crate) type RawStream = (Outbound<Bytes>, Inbound<Bytes, RemoteError>);

impl Call<RawStream, RemoteError> {
    pub(crate) fn raw_stream(connection: Connection, handler: HandlerId, windows: Windows, payload: &[u8]) -> Self {
        let open = |half: Half, faults| {
            let outbound = Outbound::new(half.clone(), |_, item: &Bytes| Ok(spare::payload_of(item)));
            (outbound, Inbound::new(half, Ok, faults))
        };
        let shape = Shape::Stream { windows: windows.clamped(), codec: Codec::default(), open };
        Self::new(connection, handler, Ok(spare::payload_of(payload)), shape, Faults::text())
    }
}

impl<T, E> fmt::Debug for Call<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("connection", &self.connection)
            .field("handler", &self.handler)
            .field("timeout", &self.timeout)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

impl<T, E> IntoFuture for Call<T, E> {
    type Output = Result<T, CallError<E>>;
    type IntoFuture = CallFuture<T, E>;

    fn into_future(self) -> CallFuture<T, E> {
        CallFuture::new(self)
    }
}

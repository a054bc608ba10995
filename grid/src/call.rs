//! A call on its way: made by a generated client or by id, started by awaiting it.

use std::fmt;
use std::future::IntoFuture;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::call_future::CallFuture;
use crate::connection::Connection;
use crate::error::{CallError, CodecError, RemoteError};
use crate::rt::{Inherited, inherited};
use crate::wire::{HandlerId, PayloadBuf};

/// A call that has not started: awaiting it sends the request and gives the answer.
///
/// The arguments are already encoded, so nothing is borrowed from them.
///
/// # Cancel safety
/// Dropping the future cancels the call, here and on the remote, whose handler is dropped too. Whether the handler had
/// done its work by then is not known.
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
    pub(crate) inherited: Inherited,
    pub(crate) metadata: Vec<(Box<str>, Box<str>)>,
    pub(crate) decoders: Decoders<T, E>,
}

/// How the two ends of a handler become values.
pub(crate) struct Decoders<T, E> {
    pub(crate) answer: fn(Bytes) -> Result<T, CodecError>,
    pub(crate) error: fn(Bytes) -> Result<E, CodecError>,
}

impl<T, E> Call<T, E> {
    pub(crate) fn new(
        connection: Connection,
        handler: HandlerId,
        payload: Result<PayloadBuf, CodecError>,
        decoders: Decoders<T, E>,
    ) -> Self {
        Self {
            connection,
            handler,
            label: None,
            payload: Some(payload),
            timeout: None,
            timeout_default: None,
            deadline: None,
            inherited: inherited(),
            metadata: Vec::new(),
            decoders,
        }
    }

    pub(crate) fn of_method(mut self, service: &'static str, method: &'static str, timeout: Option<Duration>) -> Self {
        self.label = Some((service, method));
        self.timeout_default = timeout;
        self
    }

    /// Ends the call with [`CallError::DeadlineExceeded`] if its answer has not come after this long, counted from when
    /// it is first polled. Replaces the timeout of the method and [`Timeouts::call`](crate::Timeouts::call).
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
        let decoders =
            Decoders { answer: Ok, error: |text| Ok(RemoteError::new(String::from_utf8_lossy(&text).into_owned())) };
        Self::new(connection, handler, Ok(PayloadBuf::copy_from(payload)), decoders)
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

//! How the end of a call becomes an error of its caller.

use std::sync::Arc;

use bytes::Bytes;

use crate::connection::Connection;
use crate::error::{CallError, CodecError, LinkError, Refusal, RemoteError};
use crate::rt::Ended;
use crate::wire::RefusalReason;

/// How the error of a handler becomes a value.
pub struct Faults<E> {
    pub(crate) decode: fn(Bytes) -> Result<E, CodecError>,
}

impl<E> Clone for Faults<E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for Faults<E> {}

impl<E> std::fmt::Debug for Faults<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Faults").finish_non_exhaustive()
    }
}

impl Faults<RemoteError> {
    /// Of a handler on bytes.
    pub(crate) fn text() -> Self {
        Self { decode: |text| Ok(RemoteError::new(String::from_utf8_lossy(&text).into_owned())) }
    }
}

impl<E> Faults<E> {
    /// The error of a call that ended other than with an answer or its last item.
    pub(crate) fn error(self, ended: Ended, connection: &Connection) -> CallError<E> {
        match ended {
            Ended::Error(payload) => self.fault(payload),
            Ended::Refused(refusal) => CallError::Refused(refusal),
            Ended::Violation(what) => CallError::Decode(CodecError::new(what)),
            Ended::Link(why) => not_connected(&why, connection),
            Ended::Deadline => CallError::DeadlineExceeded,
            Ended::Cancelled => CallError::Cancelled,
            Ended::Answer(_) => CallError::Decode(CodecError::new("an answer where none was asked for")),
        }
    }

    /// The error of a handler. A v1 peer sends a text for all that can go wrong on its side, which need not be an `E`.
    fn fault(self, payload: Bytes) -> CallError<E> {
        match (self.decode)(payload.clone()) {
            Ok(fault) => CallError::Remote(fault),
            Err(error) => match std::str::from_utf8(&payload) {
                Ok(text) => CallError::Refused(Refusal::new(RefusalReason::Unspecified, text)),
                Err(_) => CallError::Decode(error),
            },
        }
    }
}

/// The link of a call has ended, or is about to.
pub(crate) fn not_connected<E>(why: &LinkError, connection: &Connection) -> CallError<E> {
    match why {
        LinkError::ShutDown => CallError::Cancelled,
        _ => CallError::Disconnected(Arc::clone(&connection.peer().name)),
    }
}

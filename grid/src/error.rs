//! What can become of a call, and of building a node.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::rt::StreamEnded;
use crate::text::{bounded, cut};
use crate::wire::{HandlerId, RefusalReason};

/// How a call ended, other than with its answer. It tells whose fault that was.
///
/// A call ends exactly once, with exactly one outcome. Nothing is resent by grid: whether a call that ended with
/// [`Disconnected`](Self::Disconnected) or [`DeadlineExceeded`](Self::DeadlineExceeded) did its work is not known, and
/// whether to try again is for the caller to decide.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError<E> {
    /// The handler answered with its own error.
    #[error("the handler failed: {0}")]
    Remote(E),
    /// The remote could not run the call, or could not answer it; or a [`Middleware`](crate::Middleware) of either side
    /// refused it.
    #[error("refused: {0}")]
    Refused(Refusal),
    /// There is no connection to the remote, or it was lost while the call ran.
    #[error("not connected to {0}, or the link was lost")]
    Disconnected(Arc<str>),
    /// The deadline passed before the answer came. The remote drops its handler at about the same time.
    #[error("deadline exceeded")]
    DeadlineExceeded,
    /// This side ended the call: the node was shut down, or the other half of a stream was dropped before its end.
    #[error("cancelled by this side: a half of the stream was dropped before its end, or the node was shut down")]
    Cancelled,
    /// The request is larger than may be sent. Nothing was sent.
    #[error("{what} of {size} bytes is more than the limit of {limit}")]
    TooLarge {
        /// What is too large: the request or its metadata.
        what: &'static str,
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes, see [`Limits`](crate::Limits).
        limit: usize,
    },
    /// The arguments could not be encoded. Nothing was sent.
    #[error("cannot encode the arguments: {0}")]
    Encode(CodecError),
    /// The answer, or an item, could not be decoded.
    #[error("cannot decode what was received: {0}")]
    Decode(CodecError),
}

impl<E> CallError<E> {
    /// The same, but for what the handler's error holds.
    pub(crate) fn without_value(&self) -> CallError<MethodError> {
        match self {
            Self::Remote(_) => CallError::Remote(MethodError),
            Self::Refused(refusal) => CallError::Refused(refusal.clone()),
            Self::Disconnected(peer) => CallError::Disconnected(Arc::clone(peer)),
            Self::DeadlineExceeded => CallError::DeadlineExceeded,
            Self::Cancelled => CallError::Cancelled,
            Self::TooLarge { what, size, limit } => CallError::TooLarge { what, size: *size, limit: *limit },
            Self::Encode(error) => CallError::Encode(error.clone()),
            Self::Decode(error) => CallError::Decode(error.clone()),
        }
    }

    /// For the log, which is not to show what a handler's error holds.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Remote(_) => "remote",
            Self::Refused(_) => "refused",
            Self::Disconnected(_) => "disconnected",
            Self::DeadlineExceeded => "deadline exceeded",
            Self::Cancelled => "cancelled",
            Self::TooLarge { .. } => "too large",
            Self::Encode(_) => "encode",
            Self::Decode(_) => "decode",
        }
    }
}

/// Stands for the error of a method where its type is not known: see [`Middleware::on_end`](crate::Middleware::on_end).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an error of its own")]
pub struct MethodError;

/// Why an item of a stream was not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The call has ended, or this half was closed as a sink. How it ended is told by the half that reads: the
    /// [`Inbound`](crate::Inbound), or the [`AnswerFuture`](crate::AnswerFuture); ask that before you give this error
    /// up, which says nothing by itself.
    #[error("the call has ended, and the half that reads tells how")]
    Ended,
    /// The item is larger than may be sent. The stream goes on.
    #[error("the item of {size} bytes is more than the limit of {limit}")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes, see [`Limits::message_bytes_max`](crate::Limits::message_bytes_max).
        limit: usize,
    },
    /// The item could not be encoded. The stream goes on.
    #[error("cannot encode the item: {0}")]
    Encode(CodecError),
    /// A [`Middleware`](crate::Middleware) of this side refused the item. The stream goes on.
    #[error("the item was refused: {0}")]
    Refused(Refusal),
}

impl From<StreamEnded> for SendError {
    fn from(StreamEnded: StreamEnded) -> Self {
        Self::Ended
    }
}

impl From<SendError> for RemoteError {
    /// So that a handler whose error is a text can end with `?` on what it sends.
    fn from(error: SendError) -> Self {
        Self::new(error.to_string())
    }
}

/// The error of a handler as a text, which is all that v1 peers know.
///
/// As the `E` of a method's `Result<T, E>` it goes over the wire as the bare text, so that a v1 peer can read it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RemoteError {
    message: Box<str>,
}

impl RemoteError {
    /// An error with this text.
    pub fn new(message: impl Into<Box<str>>) -> Self {
        Self { message: message.into() }
    }

    /// The text.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for RemoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for RemoteError {}

impl From<String> for RemoteError {
    fn from(message: String) -> Self {
        Self::new(message)
    }
}

impl From<&str> for RemoteError {
    fn from(message: &str) -> Self {
        Self::new(message)
    }
}

impl<E: fmt::Display> From<CallError<E>> for RemoteError {
    /// So that a handler whose error is a text can end with `?` on the calls that it makes.
    fn from(error: CallError<E>) -> Self {
        Self::new(error.to_string())
    }
}

/// Why a remote did not run a call, or could not answer it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Refusal {
    reason: RefusalReason,
    message: Box<str>,
}

impl Refusal {
    /// A refusal, for a [`Middleware`](crate::Middleware) to give. Of a longer text, 512 bytes are kept.
    pub fn new(reason: RefusalReason, message: impl Into<Box<str>>) -> Self {
        Self { reason, message: cut(message.into()) }
    }

    /// The reason, for deciding what to do.
    #[must_use]
    pub fn reason(&self) -> RefusalReason {
        self.reason
    }

    /// The text, for people: the remote's, or this side's if it was this side that refused.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Why a value could not be encoded or decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CodecError {
    message: Box<str>,
}

impl CodecError {
    pub(crate) fn new(error: impl fmt::Display) -> Self {
        Self { message: bounded(error) }
    }
}

/// Why a node could not be built or started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The name of a node is not a URL of the form `http://host:port`.
    #[error("{name:?} is not the name of a node: {problem}")]
    InvalidName {
        /// The name as given.
        name: Box<str>,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The route is not an absolute path.
    #[error("the route {0:?} is not an absolute path such as /grid/v1")]
    InvalidRoute(Box<str>),
    /// A limit or timeout was set to something that cannot work.
    #[error("{name} cannot be {value}: {problem}")]
    InvalidLimit {
        /// The name of the field in [`Limits`](crate::Limits) or [`Timeouts`](crate::Timeouts).
        name: &'static str,
        /// What it was set to.
        value: Box<str>,
        /// What it must be.
        problem: &'static str,
    },
    /// Two handlers would answer the same calls.
    #[error("handler {id}{} is served twice, by {first} and by {second}", under(subroute))]
    DuplicateHandler {
        /// The id they share.
        id: HandlerId,
        /// The subroute they share, if any.
        subroute: Option<Arc<str>>,
        /// What was added first.
        first: Box<str>,
        /// What was added second.
        second: Box<str>,
    },
    /// Method number 0 means nothing, and service 255 is grid's own.
    #[error("handler id {0} of {1} cannot be served: methods count from 1, services to 254")]
    InvalidHandlerId(HandlerId, Box<str>),
    /// The address to listen at could not be had.
    #[error("cannot listen at {address}: {problem}")]
    Bind {
        /// The address.
        address: Box<str>,
        /// The error of the operating system.
        problem: Box<str>,
    },
    /// The name asks for TLS: give certificates by `tls` (feature `tls`), or a [`Connector`](crate::Connector) of your own.
    #[error("{0} needs TLS, and neither certificates nor a connector that speaks it were given")]
    NoTls(Box<str>),
    /// A node with this name must show a certificate, and has none: see `Tls::identity`.
    #[error("{0} needs a certificate to show, and was given none")]
    NoIdentity(Box<str>),
    /// The certificate of a node is for other hosts than that of its name, so no other node would take it.
    #[error("the certificate of {0} is for another host")]
    ForeignIdentity(Box<str>),
    /// Certificates are to be required of others (`Tls::require_identity`), by a node that speaks no TLS with them.
    #[error("{0} is to require certificates and speaks no TLS: begin its name with https://")]
    IdentityWithoutTls(Box<str>),
    /// A shared secret of no bytes.
    #[error("the shared secret is empty")]
    EmptySecret,
    /// Guests need a secret and nodes none, so that anybody could be a node: give nodes one as well, or certificates.
    #[error("guests need a secret, and whoever says that he is a node needs none")]
    GuestSecretAlone,
    /// Guests may call what is not there.
    #[error("guests are allowed to call handler {0}, and nothing is served under it")]
    NotServed(HandlerId),
    /// Not called inside a tokio runtime.
    #[error("a node must be started inside a tokio runtime")]
    NoRuntime,
}

fn under(subroute: &Option<Arc<str>>) -> String {
    subroute.as_ref().map(|route| format!(" under subroute {route:?}")).unwrap_or_default()
}

/// Why there is no link to a peer. Shown by [`State::Disconnected`](crate::State::Disconnected).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The peer could not be reached.
    #[error("cannot reach {peer}: {problem}")]
    Unreachable {
        /// The name of the peer.
        peer: Arc<str>,
        /// What happened.
        problem: Box<str>,
    },
    /// The peer answered the handshake with a refusal, and said why.
    #[error("rejected: {0}")]
    Rejected(Box<str>),
    /// The two sides do not trust each other's certificates, or one of them speaks no TLS.
    #[error("no TLS with {0}")]
    Tls(Box<str>),
    /// The handshake took longer than [`Timeouts::handshake`](crate::Timeouts::handshake).
    #[error("the handshake took too long")]
    HandshakeTimeout,
    /// The peer closed the link, or it was cut.
    #[error("closed by the peer: {0}")]
    Closed(Box<str>),
    /// The peer sent something that is no frame.
    #[error("protocol violated by the peer: {0}")]
    Protocol(Box<str>),
    /// The peer sent more than a limit of this node allows.
    #[error("the peer went beyond {limit}, which is {max} here")]
    LimitExceeded {
        /// The name of the field in [`Limits`](crate::Limits).
        limit: &'static str,
        /// What it is set to.
        max: usize,
    },
    /// The peer has not answered pings for [`Timeouts::dead_after`](crate::Timeouts::dead_after).
    #[error("the peer does not answer pings")]
    Dead,
    /// The peer has not taken bytes for [`Timeouts::write`](crate::Timeouts::write).
    #[error("the peer does not read")]
    WriteTimeout,
    /// What drove the link was dropped: the future of [`Manager::accept`](crate::Manager::accept), or the runtime.
    #[error("dropped by this side")]
    Dropped,
    /// A newer link to the same peer has taken the place of this one.
    #[error("replaced by a newer link")]
    Replaced,
    /// This node was shut down.
    #[error("this node was shut down")]
    ShutDown,
}

/// No such peer: see [`Manager::connection`](crate::Manager::connection).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is not a peer of {local}")]
pub struct UnknownPeer {
    pub(crate) name: Box<str>,
    pub(crate) local: Arc<str>,
}

/// The node was shut down while something waited for a connection: see [`Connection::ready`](crate::Connection::ready).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this node was shut down")]
pub struct ShutDown;

/// Why [`grid::connect`](crate::connect) gave no connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// What was asked for cannot be built.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The first attempt to connect failed.
    #[error(transparent)]
    Link(#[from] LinkError),
}

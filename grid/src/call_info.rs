//! What is known of a call before it runs.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::rt::{Handler, Kind, Peer, Request, Shared};
use crate::wire::HandlerId;

/// A call, as a [`Middleware`](crate::Middleware) sees it.
///
/// Its `Display` is what is called, for people: `Kv.get`, or `handler 7`.
#[derive(Clone)]
pub struct CallInfo {
    pub(crate) direction: Direction,
    pub(crate) peer: Arc<Peer>,
    pub(crate) handler: HandlerId,
    /// Of a service that this side knows.
    pub(crate) label: Option<(&'static str, &'static str)>,
    pub(crate) subroute: Option<Arc<str>>,
    pub(crate) shape: CallShape,
    pub(crate) deadline: Option<Instant>,
    pub(crate) metadata: Vec<(Box<str>, Box<str>)>,
    pub(crate) began: Instant,
}

/// Which way a call or an item goes, seen from the node that the middleware belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// A call that this node serves; an item that it receives.
    In,
    /// A call that this node makes; an item that it sends.
    Out,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallShape {
    Single,
    Stream,
}

impl CallInfo {
    /// A call that is served.
    pub(crate) fn incoming(handler: &Handler, request: &Request) -> Self {
        Self {
            direction: Direction::In,
            peer: Arc::clone(&request.peer),
            handler: request.handler,
            label: handler.method,
            subroute: request.subroute.clone(),
            shape: match handler.kind {
                Kind::Single => CallShape::Single,
                Kind::Stream(_) => CallShape::Stream,
            },
            deadline: request.deadline,
            metadata: request.metadata.clone(),
            began: Instant::now(),
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.peer.shared
    }

    /// Whether this node serves the call or makes it.
    #[must_use]
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// The name of the node that calls, known as [`Context::caller`](crate::Context::caller) is.
    #[must_use]
    pub fn caller(&self) -> &str {
        match self.direction {
            Direction::In => &self.peer.name,
            Direction::Out => &self.peer.shared.settings.name,
        }
    }

    /// The name of the node that is called.
    #[must_use]
    pub fn callee(&self) -> &str {
        match self.direction {
            Direction::In => &self.peer.shared.settings.name,
            Direction::Out => &self.peer.name,
        }
    }

    /// The trait of the service. `None` for a call that is made by its id
    /// ([`Connection::single`](crate::Connection::single)), on the side that makes it; and on the side that serves it,
    /// for a handler that was given by its id ([`ManagerBuilder::single`](crate::ManagerBuilder::single)). Methods of a
    /// service are known there however they are called.
    #[must_use]
    pub fn service(&self) -> Option<&'static str> {
        self.label.map(|(service, _)| service)
    }

    /// The method of the service; `None` as for [`service`](Self::service).
    #[must_use]
    pub fn method(&self) -> Option<&'static str> {
        self.label.map(|(_, method)| method)
    }

    /// The id of the handler.
    #[must_use]
    pub fn handler_id(&self) -> HandlerId {
        self.handler
    }

    /// The subroute that the call takes.
    #[must_use]
    pub fn subroute(&self) -> Option<&str> {
        self.subroute.as_deref()
    }

    /// Whether it is a stream of any kind.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        self.shape == CallShape::Stream
    }

    /// When the caller stops waiting.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// The time since the call began: since it was first polled, or its handler was about to run.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// The metadata of this name.
    #[must_use]
    pub fn metadata(&self, name: &str) -> Option<&str> {
        self.metadata.iter().find(|(known, _)| **known == *name).map(|(_, value)| &**value)
    }

    /// Sets metadata, as [`Call::metadata`](crate::Call::metadata) does. In [`on_call`](crate::Middleware::on_call) of
    /// a call that is made, it goes to the remote; of one that is served, the handler has it in its
    /// [`Context`](crate::Context).
    pub fn set_metadata(&mut self, name: impl Into<Box<str>>, value: impl Into<Box<str>>) {
        let (name, value) = (name.into(), value.into());
        self.metadata.retain(|(known, _)| *known != name);
        self.metadata.push((name, value));
    }
}

impl fmt::Display for CallInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.label {
            Some((service, method)) => write!(f, "{service}.{method}"),
            None => write!(f, "handler {}", self.handler),
        }
    }
}

impl fmt::Debug for CallInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallInfo")
            .field("direction", &self.direction)
            .field("caller", &self.caller())
            .field("callee", &self.callee())
            .field("handler", &self.handler)
            .field("label", &self.label)
            .field("subroute", &self.subroute)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

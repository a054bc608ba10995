//! What a node serves, by handler id and subroute.

use std::collections::{BTreeMap, BTreeSet, HashMap, btree_map, hash_map};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use super::link::Link;
use super::node::{Guests, Mesh};
use super::pace::Pace;
use super::peer::Peer;
use super::stream::Stream;
use crate::error::StartError;
use crate::middleware::Watch;
use crate::proto::Reply;
use crate::text::bounded;
use crate::windows::Windows;
use crate::wire::{HandlerId, RefusalReason, Subroute, SubrouteId};

/// A request on its way to its handler.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) payload: Bytes,
    pub(crate) peer: Arc<Peer>,
    pub(crate) mesh: Arc<Mesh>,
    pub(crate) handler: HandlerId,
    pub(crate) subroute: Option<Arc<str>>,
    pub(crate) deadline: Option<Instant>,
    pub(crate) metadata: Vec<(Box<str>, Box<str>)>,
    /// Of a stream.
    pub(crate) stream: Option<(Arc<Link>, Arc<Stream>)>,
    /// If the node has middleware.
    pub(crate) watch: Option<Arc<Watch>>,
}

/// A good end of a handler.
#[derive(Debug)]
pub struct Answer(pub(crate) Reply);

/// A bad end of a handler.
#[derive(Debug)]
pub struct Failure(pub(crate) Reply);

impl Failure {
    pub(crate) fn new(reason: RefusalReason, message: impl fmt::Display) -> Self {
        Self(Reply::Failed(reason, bounded(message)))
    }
}

/// The end of a handler.
pub(crate) type Served = Result<Answer, Failure>;

/// A handler at work.
pub type Serving = Pin<Box<dyn Future<Output = Result<Answer, Failure>> + Send>>;

/// Serves one handler id, perhaps under a subroute.
pub(crate) struct Handler {
    /// The id that it was registered under. Under a subroute, the one in a request is not looked at.
    pub(crate) id: HandlerId,
    /// What is served, for people: the service and method, or the id of a raw handler.
    pub(crate) label: Box<str>,
    /// The names of the service and the method; a raw handler has none.
    pub(crate) method: Option<(&'static str, &'static str)>,
    pub(crate) subroute: Option<Arc<str>>,
    /// Its future is not dropped with its call.
    pub(crate) detach: bool,
    pub(crate) kind: Kind,
    pub(crate) pace: Pace,
    pub(crate) guests: Guests,
    pub(crate) serve: Box<dyn Fn(Request) -> Serving + Send + Sync>,
}

/// What kind of calls a handler serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Single,
    Stream(Windows),
}

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, label, method: _, subroute, detach, kind, pace: _, guests, serve: _ } = self;
        f.debug_struct("Handler")
            .field("id", id)
            .field("label", label)
            .field("subroute", subroute)
            .field("detach", detach)
            .field("kind", kind)
            .field("guests", guests)
            .finish_non_exhaustive()
    }
}

/// All that a node serves. Complete before the node starts.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    /// Found without hashing.
    plain: BTreeMap<HandlerId, Arc<Handler>>,
    subrouted: HashMap<SubrouteId, Arc<Handler>>,
}

impl Registry {
    pub(crate) fn insert(&mut self, handler: Handler) -> Result<(), StartError> {
        let id = handler.id;
        if id.method() == 0 || id.service() == RESERVED_SERVICE {
            return Err(StartError::InvalidHandlerId(id, handler.label));
        }
        let taken = |first: &Arc<Handler>, second: Handler| StartError::DuplicateHandler {
            id,
            subroute: second.subroute.clone(),
            first: first.label.clone(),
            second: second.label,
        };
        match &handler.subroute {
            None => match self.plain.entry(id) {
                btree_map::Entry::Occupied(first) => return Err(taken(first.get(), handler)),
                btree_map::Entry::Vacant(place) => place.insert(Arc::new(handler)),
            },
            Some(route) => match self.subrouted.entry(Subroute::new(Arc::clone(route)).id(id)) {
                hash_map::Entry::Occupied(first) => return Err(taken(first.get(), handler)),
                hash_map::Entry::Vacant(place) => place.insert(Arc::new(handler)),
            },
        };
        Ok(())
    }

    /// Lets guests call these handlers.
    pub(crate) fn allow_guests(&mut self, ids: &BTreeSet<HandlerId>) -> Result<(), StartError> {
        let mut missing = ids.clone();
        for handler in self.plain.values_mut().chain(self.subrouted.values_mut()) {
            if ids.contains(&handler.id) {
                missing.remove(&handler.id);
                Arc::get_mut(handler).expect("the node has not started").guests = Guests::Allowed;
            }
        }
        missing.first().map_or(Ok(()), |id| Err(StartError::NotServed(*id)))
    }

    /// The 32 bytes of a subroute decide alone; without one the id does.
    pub(crate) fn find(&self, id: HandlerId, subroute: Option<&SubrouteId>) -> Option<&Arc<Handler>> {
        match subroute {
            Some(subroute) => self.subrouted.get(subroute),
            None => self.plain.get(&id),
        }
    }
}

/// The service number that grid keeps for itself.
const RESERVED_SERVICE: u8 = 255;

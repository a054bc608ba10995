//! Subroutes: static names that pick one of several instances of a handler.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::handler_id::HandlerId;

/// A route and its digest, which is computed once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subroute {
    route: Arc<str>,
    digest: [u8; 32],
}

impl Subroute {
    /// Parts are joined with `/` and otherwise taken as they are: `a/` and `a` are two routes.
    pub(crate) fn new(route: impl Into<Arc<str>>) -> Self {
        let route = route.into();
        let digest = Sha256::digest(route.as_bytes()).into();
        Self { route, digest }
    }

    /// This route with one more part.
    pub(crate) fn join(&self, part: &str) -> Self {
        Self::new(format!("{}/{part}", self.route))
    }

    pub(crate) fn route(&self) -> &Arc<str> {
        &self.route
    }

    /// The id that a call of this handler under this route carries: the digest, its first two bytes overwritten by the
    /// handler id. (v1 has one byte of handler id and a zero behind it, which is what service 0 gives.)
    pub(crate) fn id(&self, handler: HandlerId) -> SubrouteId {
        let [_, _, rest @ ..] = self.digest;
        let mut id = [0; SubrouteId::LEN];
        id[0] = handler.method();
        id[1] = handler.service();
        id[2..].copy_from_slice(&rest);
        SubrouteId(id)
    }
}

/// What a call under a subroute carries behind its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct SubrouteId(pub(super) [u8; 32]);

impl SubrouteId {
    pub(super) const LEN: usize = 32;

    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

//! The way from a handle of a connection to the current link, without a step that other threads would wait for.

use std::ops::Deref;
use std::sync::{Arc, PoisonError};

use super::link::Link;
use super::peer::{LinkState, Peer};
use super::sync::Mutex;

/// What a handle has last seen of its peer: to be asked for the link of each call. Its lock is for the users of one handle.
#[derive(Debug, Default)]
pub(crate) struct Line {
    seen: Mutex<Option<Seen>>,
}

#[derive(Debug)]
struct Seen {
    epoch: u64,
    link: LinkRef,
}

/// A reference to a link. Those that come from one [`Line`] are counted apart from all others: a count that every call of a
/// link would raise and lower is where the threads that make them would meet.
#[derive(Debug, Clone)]
pub(crate) struct LinkRef(Arc<Apart>);

#[derive(Debug)]
struct Apart {
    link: Arc<Link>,
}

impl LinkRef {
    /// Counted with all others.
    pub(crate) fn to_arc(&self) -> Arc<Link> {
        Arc::clone(&self.0.link)
    }
}

impl Deref for LinkRef {
    type Target = Link;

    fn deref(&self) -> &Link {
        &self.0.link
    }
}

impl Line {
    /// The current link of this peer, which is always the same one, if the link takes calls.
    pub(crate) fn link(&self, peer: &Peer) -> Option<LinkRef> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        // Before the state: if that changes in between, the next call looks again.
        let epoch = peer.epoch();
        if let Some(seen) = &*seen
            && seen.epoch == epoch
        {
            return Some(seen.link.clone());
        }
        let before = seen.take();
        if let LinkState::Up(link) = peer.state() {
            let link = LinkRef(Arc::new(Apart { link }));
            *seen = Some(Seen { epoch, link: link.clone() });
            drop(seen);
            drop(before);
            return Some(link);
        }
        drop(seen);
        drop(before);
        None
    }
}

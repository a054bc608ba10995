//! The lasting relation of this node to one other.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::changing::{Changing, Watcher};
use super::counts::Counts;
use super::link::Link;
use super::log_once::Notice;
use super::node::Shared;
use crate::error::{LinkError, ShutDown};
use crate::proto::is_guest;
use crate::wire::InstanceId;

/// A peer, with or without a link to it. Outlives its links.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) name: Arc<str>,
    pub(crate) shared: Arc<Shared>,
    state: Changing<LinkState>,
    /// Counts the changes of the state.
    epoch: AtomicU64,
    pub(crate) counts: Arc<Counts>,
    processes: Mutex<Processes>,
}

/// The last two processes that went by the name of a peer.
#[derive(Debug, Default)]
struct Processes {
    last: Option<InstanceId>,
    before: Option<InstanceId>,
}

impl Processes {
    /// Whether this one comes back, although another one had come after it. One that has been restarted does not.
    fn is_back(&mut self, process: InstanceId) -> bool {
        if self.last == Some(process) {
            return false;
        }
        let before = std::mem::replace(&mut self.before, self.last.replace(process));
        before == Some(process)
    }
}

/// What a peer's state is. The current link lives in it, so that link and state change as one.
#[derive(Debug, Clone)]
pub(crate) enum LinkState {
    /// No link; why the last one ended, or the last attempt failed.
    Down(Option<LinkError>),
    Up(Arc<Link>),
    /// Up, and the peer is about to leave.
    Draining(Arc<Link>),
    /// This node was shut down.
    Closed,
}

impl Peer {
    pub(crate) fn new(name: Arc<str>, shared: Arc<Shared>) -> Self {
        let counts = Arc::new(Counts::within(&shared.hits));
        Self {
            name,
            shared,
            state: Changing::new(LinkState::Down(None)),
            epoch: AtomicU64::new(0),
            counts,
            processes: Mutex::default(),
        }
    }

    pub(crate) fn state(&self) -> LinkState {
        self.state.get()
    }

    /// A number that is another one after each change of the state.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    fn change(&self, change: impl FnOnce(&mut LinkState) -> bool) {
        self.state.modify(|state| {
            let changed = change(state);
            if changed {
                self.epoch.fetch_add(1, Ordering::Release);
            }
            changed
        });
    }

    pub(crate) fn watch(&self) -> Watcher<LinkState> {
        self.state.watch()
    }

    /// Waits for a link.
    pub(crate) async fn ready(&self) -> Result<(), ShutDown> {
        let mut states = self.watch();
        while let Some(state) = states.next().await {
            match state {
                LinkState::Up(link) if link.end().is_none() => return Ok(()),
                // Up, and just ended: the next state says so.
                LinkState::Down(_) | LinkState::Up(_) | LinkState::Draining(_) => {}
                LinkState::Closed => break,
            }
        }
        Err(ShutDown)
    }

    /// A new link takes the place of whatever was there; an older link ends first.
    pub(crate) fn attach(&self, link: &Arc<Link>) {
        let mut older = None;
        self.change(|state| {
            if matches!(state, LinkState::Closed) {
                return false;
            }
            older = state.link().cloned();
            *state = LinkState::Up(Arc::clone(link));
            true
        });
        self.counts.links.fetch_add(1, Ordering::Relaxed);
        if let Some(older) = older {
            older.close(LinkError::Replaced);
        }
        let is_back = self.processes.lock().unwrap_or_else(PoisonError::into_inner).is_back(link.instance);
        // Guests name themselves.
        if is_back
            && !is_guest(&self.name)
            && let Some(untold) = self.shared.notices.tell(Notice::TwoProcesses, &self.name)
        {
            let local = &self.shared.settings.name;
            tracing::warn!(
                target: "grid::link", %local, peer = %self.name, untold,
                "two processes go by this name, and take each other's place",
            );
        }
        if self.shared.closing.is_cancelled() || matches!(self.state(), LinkState::Closed) {
            link.close(LinkError::ShutDown);
        }
    }

    /// A link ended.
    pub(crate) fn detach(&self, link: &Arc<Link>, why: &LinkError) {
        self.change(|state| match state.link() {
            Some(current) if Arc::ptr_eq(current, link) => {
                *state = LinkState::Down(Some(why.clone()));
                true
            }
            _ => false,
        });
    }

    /// An attempt to connect failed. Told only while there is no link.
    pub(crate) fn on_failed(&self, why: &LinkError) {
        self.change(|state| match state {
            LinkState::Down(last) if last.as_ref() != Some(why) => {
                *last = Some(why.clone());
                true
            }
            _ => false,
        });
    }

    /// The peer said on this link that it is about to leave.
    pub(crate) fn on_leaving(&self, link: &Arc<Link>) {
        self.change(|state| match state {
            LinkState::Up(current) if Arc::ptr_eq(current, link) => {
                *state = LinkState::Draining(Arc::clone(current));
                true
            }
            _ => false,
        });
    }

    /// This node is shut down: there will be no link any more.
    pub(crate) fn close(&self) {
        let mut before = None;
        self.change(|state| {
            before = Some(std::mem::replace(state, LinkState::Closed));
            true
        });
        if let Some(link) = before.as_ref().and_then(LinkState::link) {
            link.close(LinkError::ShutDown);
        }
    }
}

impl LinkState {
    pub(crate) fn link(&self) -> Option<&Arc<Link>> {
        match self {
            Self::Up(link) | Self::Draining(link) => Some(link),
            Self::Down(_) | Self::Closed => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::limits::Limits;
    use crate::manager::Manager;

    #[tokio::test]
    async fn a_link_that_has_just_ended_is_no_reason_to_be_ready() {
        let node = Manager::builder("http://a:1").peers(["http://b:1"]).build().expect("it starts");
        let peer = Arc::clone(&node.node().mesh.peers["http://b:1"]);
        let [first, second] = [(); 2].map(|()| Link::to_grid_node(&Limits::default()));
        peer.attach(&first);
        assert_eq!(peer.ready().now_or_never(), Some(Ok(())));
        first.close(LinkError::Dead);
        assert_eq!(peer.ready().now_or_never(), None);
        peer.attach(&second);
        assert_eq!(peer.ready().now_or_never(), Some(Ok(())));
    }

    #[test]
    fn a_process_that_comes_back_after_another_is_told_from_one_that_was_restarted() {
        let mut processes = Processes::default();
        let ids = [1, 1, 2, 2, 3, 2, 3, 4, 5].map(|id| processes.is_back([id; 16]));
        assert_eq!(ids, [false, false, false, false, false, true, true, false, false]);
    }
}

//! Where handlers of a node under test wait until they are let through.

use std::future::pending;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Mutex, Semaphore};

use super::peer::within;

/// Holds calls of a handler, and tells what becomes of them. Clones are the same gate.
#[derive(Clone)]
pub struct Gate {
    inner: Arc<Inner>,
}

struct Inner {
    visits: UnboundedSender<(Visit, Bytes)>,
    seen: Mutex<UnboundedReceiver<(Visit, Bytes)>>,
    passes: Semaphore,
}

/// What becomes of a call at a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visit {
    Started,
    Finished,
    /// Its future was dropped before it was let through.
    Dropped,
}

/// A call at the gate.
struct Guard {
    gate: Gate,
    payload: Bytes,
    end: Visit,
}

impl Default for Gate {
    fn default() -> Self {
        let (visits, seen) = unbounded_channel();
        Self { inner: Arc::new(Inner { visits, seen: Mutex::new(seen), passes: Semaphore::new(0) }) }
    }
}

impl Gate {
    /// Waits until it is let through.
    pub async fn pass(&self, payload: Bytes) {
        let mut guard = Guard { gate: self.clone(), payload, end: Visit::Dropped };
        self.tell(Visit::Started, &guard.payload);
        self.inner.passes.acquire().await.expect("a gate is never closed").forget();
        guard.end = Visit::Finished;
    }

    /// Waits until it is dropped.
    pub async fn stay(&self, payload: Bytes) {
        let _guard = Guard { gate: self.clone(), payload: payload.clone(), end: Visit::Dropped };
        self.tell(Visit::Started, &payload);
        pending().await
    }

    /// Lets so many calls through, now or when they come.
    pub fn let_through(&self, calls: usize) {
        self.inner.passes.add_permits(calls);
    }

    /// What happened next, and to the call with which payload.
    pub async fn next(&self) -> (Visit, Bytes) {
        let mut seen = self.inner.seen.lock().await;
        within("something to happen at the gate", seen.recv()).await.expect("self holds the sender")
    }

    /// # Panics
    /// Something else happened next.
    pub async fn expect(&self, visit: Visit, payload: &str) {
        assert_eq!(self.next().await, (visit, Bytes::copy_from_slice(payload.as_bytes())));
    }

    fn tell(&self, visit: Visit, payload: &Bytes) {
        self.inner.visits.send((visit, payload.clone())).expect("self holds the receiver");
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.gate.tell(self.end, &self.payload);
    }
}

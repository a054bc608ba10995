//! The peer's calls that run on a link.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::counts::{Counts, Outlived};
use super::ended::Ended;
use super::hits::Limit;
use super::link::Link;
use super::quota::Quota;
use super::registry::Kind;
use super::stream::Stream;
use super::sync::{Mutex, MutexGuard};
use crate::error::LinkError;
use crate::limits::Limits;

/// Calls that run, so that they can be counted, cancelled one by one, and dropped all at once.
///
/// They are kept under a key of our own: a peer may have two calls of one mux id, and both are answered. A cancellation
/// reaches the later of the two.
#[derive(Debug)]
pub(crate) struct Running {
    calls: Mutex<Calls>,
    max: usize,
    bytes_max: usize,
    streams_max: usize,
    /// For the calls of all peers, or of all guests.
    quota: Arc<Quota>,
    /// Of the peer: what goes on of its earlier links.
    counts: Arc<Counts>,
    idle: Notify,
}

#[derive(Debug, Default)]
struct Calls {
    /// Those that have been let in and are not over.
    running: usize,
    /// Those of them that are not about to end.
    counted: usize,
    /// Of the requests of those.
    bytes: usize,
    /// Streams among those.
    streams: usize,
    /// Places that are leased from the quota: for those, and some more.
    leased: usize,
    /// Those that can be cancelled: streams, and what did not end at its first poll.
    tasks: HashMap<u64, Task>,
    by_mux: HashMap<u64, u64>,
    next_key: u64,
    closed: bool,
}

#[derive(Debug)]
struct Task {
    mux: u64,
    /// None for a moment after admission, and for handlers that are not to be dropped.
    abort: Option<AbortHandle>,
    /// If it is a stream.
    stream: Option<Arc<Stream>>,
}

/// A call that was let in. Dropping it takes the call out.
#[derive(Debug)]
pub(crate) struct Admission {
    link: Arc<Link>,
    /// Once it can be cancelled.
    key: Option<u64>,
    /// The bytes of its request.
    bytes: usize,
    kind: Kind,
    place: HasPlace,
}

/// Whether a call takes one of the places that a peer has.
#[derive(Debug, PartialEq, Eq)]
enum HasPlace {
    Yes,
    No,
}

/// Why a call was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotAdmitted {
    /// A limit is reached, as so many of these are in flight.
    Full {
        limit: Limit,
        what: &'static str,
    },
    Closed,
}

impl Running {
    pub(crate) fn new(limits: &Limits, quota: Arc<Quota>, counts: Arc<Counts>) -> Self {
        Self {
            calls: Mutex::default(),
            max: limits.calls_in_max,
            bytes_max: limits.calls_in_bytes_max,
            streams_max: limits.streams_in_max,
            quota,
            counts,
            idle: Notify::new(),
        }
    }

    /// Gives back the places of the quota that are not in use just now.
    pub(crate) fn shrink(&self) {
        let mut calls = self.lock();
        let spare = calls.leased - calls.counted;
        calls.leased = calls.counted;
        drop(calls);
        self.quota.give_back(spare);
    }

    fn has_room(&self, calls: &Calls, bytes: usize, kind: Kind) -> Result<(), NotAdmitted> {
        let Outlived { calls: others, bytes: kept } = self.counts.outlived.read();
        if calls.counted + others >= self.max {
            Err(NotAdmitted::Full { limit: Limit::CallsIn, what: "calls" })
        } else if calls.counted + others > 0 && calls.bytes + kept + bytes > self.bytes_max {
            Err(NotAdmitted::Full { limit: Limit::CallsInBytes, what: "bytes of requests" })
        } else if streams(kind) > 0 && calls.streams >= self.streams_max {
            Err(NotAdmitted::Full { limit: Limit::StreamsIn, what: "streams" })
        } else {
            Ok(())
        }
    }

    /// Takes this handler task down when the call is cancelled or the link ends.
    pub(crate) fn attach(&self, key: u64, abort: AbortHandle) {
        let mut calls = self.lock();
        if calls.closed {
            drop(calls);
            abort.abort();
        } else if let Some(task) = calls.tasks.get_mut(&key) {
            task.abort = Some(abort);
        }
    }

    /// The peer gave a call up.
    pub(crate) fn cancel(&self, mux: u64) {
        let mut calls = self.lock();
        let key = calls.by_mux.get(&mux).copied();
        let abort = key.and_then(|key| calls.tasks.get_mut(&key)).and_then(|task| task.abort.take());
        drop(calls);
        if let Some(abort) = abort {
            abort.abort();
        }
    }

    /// Drops every handler, and lets no call in.
    pub(crate) fn close(&self, why: &LinkError) {
        let mut calls = self.lock();
        if !calls.closed {
            self.counts.outlived.add(calls.counted, calls.bytes);
        }
        calls.closed = true;
        let spare = calls.leased - calls.counted;
        calls.leased = calls.counted;
        let mut aborts: Vec<_> =
            calls.tasks.iter_mut().filter_map(|(key, task)| Some((*key, task.abort.take()?))).collect();
        drop(calls);
        self.quota.give_back(spare);
        aborts.sort_unstable_by_key(|(key, _)| *key);
        for stream in self.streams() {
            stream.close(Ended::Link(why.clone()));
        }
        aborts.iter().for_each(|(_, abort)| abort.abort());
    }

    /// The stream of this mux id.
    pub(crate) fn stream(&self, mux: u64) -> Option<Arc<Stream>> {
        self.lock().stream(mux).cloned()
    }

    /// The streams that run, in the order in which they began.
    pub(crate) fn streams(&self) -> Vec<Arc<Stream>> {
        let calls = self.lock();
        let streams = calls.tasks.iter().filter_map(|(key, task)| Some((*key, task.stream.clone()?)));
        let mut streams: Vec<_> = streams.collect();
        drop(calls);
        streams.sort_unstable_by_key(|(key, _)| *key);
        streams.into_iter().map(|(_, stream)| stream).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().running
    }

    /// Waits until no call runs.
    pub(crate) async fn idle(&self) {
        loop {
            let idle = self.idle.notified();
            if self.len() == 0 {
                return;
            }
            idle.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Calls {
    fn stream(&self, mux: u64) -> Option<&Arc<Stream>> {
        self.tasks.get(self.by_mux.get(&mux)?)?.stream.as_ref()
    }

    fn remove(&mut self, key: u64) -> Option<Task> {
        let task = self.tasks.remove(&key)?;
        if self.by_mux.get(&task.mux) == Some(&key) {
            self.by_mux.remove(&task.mux);
        }
        // Grown by a burst, the maps would keep their memory for as long as the link lives.
        if self.tasks.is_empty() && self.tasks.capacity() > CALLS_KEPT {
            self.tasks = HashMap::new();
            self.by_mux = HashMap::new();
        }
        Some(task)
    }
}

impl Admission {
    /// Lets a call of this kind in whose request has so many bytes, or not.
    pub(crate) fn new(link: &Arc<Link>, bytes: usize, kind: Kind) -> Result<Self, NotAdmitted> {
        let mut calls = link.running.lock();
        if calls.closed {
            return Err(NotAdmitted::Closed);
        }
        link.running.has_room(&calls, bytes, kind)?;
        if calls.counted == calls.leased {
            match link.running.quota.lease() {
                0 => return Err(NotAdmitted::Full { limit: Limit::CallsInTotal, what: link.running.quota.of }),
                leased => calls.leased += leased,
            }
        }
        calls.running += 1;
        calls.counted += 1;
        calls.bytes += bytes;
        calls.streams += streams(kind);
        drop(calls);
        Ok(Self { link: Arc::clone(link), key: None, bytes, kind, place: HasPlace::Yes })
    }

    /// From now on the call can be cancelled. Gives the key by which its task is attached.
    pub(crate) fn register(&mut self, mux: u64, stream: Option<Arc<Stream>>) -> u64 {
        if let Some(key) = self.key {
            return key;
        }
        let mut calls = self.link.running.lock();
        let key = calls.next_key;
        calls.next_key += 1;
        // A stream is not to be put out of reach by a single request that has its id against the rules.
        if calls.stream(mux).is_none() {
            calls.by_mux.insert(mux, key);
        }
        calls.tasks.insert(key, Task { mux, abort: None, stream });
        self.key = Some(key);
        key
    }

    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// Counts the bytes of an answer that has to wait in the place of those of its request. False if they are too many:
    /// what requests may take, answers may take once more, so that none is lost for the requests of others.
    pub(crate) fn keep(&mut self, bytes: usize) -> bool {
        if self.place == HasPlace::No {
            return true;
        }
        let mut calls = self.link.running.lock();
        let others = calls.bytes - self.bytes;
        // On a link that has ended it does not wait, but is dropped at once.
        if calls.closed {
            return true;
        }
        let fits = others == 0 || others + bytes <= self.link.running.bytes_max.saturating_mul(2);
        if fits {
            calls.bytes = others + bytes;
            self.bytes = bytes;
        }
        fits
    }

    /// Gives the place free, just before the answer goes out: the caller may make its next call as soon as it has it.
    pub(crate) fn free_place(&mut self) {
        if self.place == HasPlace::Yes {
            self.place = HasPlace::No;
            self.uncount(&mut self.link.running.lock());
        }
    }

    fn uncount(&self, calls: &mut Calls) {
        calls.counted -= 1;
        calls.bytes -= self.bytes;
        if calls.closed {
            self.link.counts.outlived.sub(1, self.bytes);
        }
        calls.streams -= streams(self.kind);
        let quota = &self.link.running.quota;
        let spare = calls.leased - calls.counted;
        let back = match calls.closed {
            true => spare,
            false if spare > quota.spare_max() => spare.div_ceil(2),
            false => return,
        };
        calls.leased -= back;
        quota.give_back(back);
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let running = &self.link.running;
        let mut calls = running.lock();
        calls.running -= 1;
        if self.place == HasPlace::Yes {
            self.uncount(&mut calls);
        }
        let idle = calls.running == 0;
        let task = self.key.and_then(|key| calls.remove(key));
        drop(calls);
        if let Some(stream) = task.and_then(|task| task.stream) {
            // Halves that the handler gave away learn of the end.
            stream.close(Ended::Cancelled);
        }
        if idle {
            running.idle.notify_waiters();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shrink();
    }
}

fn streams(kind: Kind) -> usize {
    match kind {
        Kind::Single => 0,
        Kind::Stream(_) => 1,
    }
}

/// Places of empty maps that keep their memory.
const CALLS_KEPT: usize = 128;

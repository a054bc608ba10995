//! What became of each call, as its caller and its handler saw it. One for all nodes, outside of the simulation.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use grid::sim::Node;
use grid::{CallError, Connection, RefusalReason};

use super::plan::Plan;
use super::service::Oops;

/// Clones are the same ledger.
#[derive(Clone, Default)]
pub(crate) struct Ledger {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    calls: Vec<Record>,
    connections: BTreeMap<String, Vec<Connection>>,
}

/// One call.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) plan: Plan,
    pub(crate) begun: Option<Duration>,
    pub(crate) ended: Option<End>,
    pub(crate) visit: Visited,
}

#[derive(Debug, Clone)]
pub(crate) struct End {
    pub(crate) at: Duration,
    /// By the clock of the caller.
    pub(crate) took: Duration,
    pub(crate) outcome: Outcome,
}

/// What the caller got.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Outcome {
    Done,
    Failed(CallError<Oops>),
    GaveUp,
    /// It was dropped with its node.
    Lost,
}

impl Outcome {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Done => "answer",
            Self::GaveUp => "gave up",
            Self::Lost => "lost",
            Self::Failed(CallError::Remote(Oops::NotCalledBack(_))) => "not called back",
            Self::Failed(CallError::Remote(_)) => "error",
            Self::Failed(CallError::Refused(refusal)) => match refusal.reason() {
                RefusalReason::Overloaded => "overloaded",
                RefusalReason::Draining => "draining",
                RefusalReason::Panicked => "panicked",
                _ => "refused",
            },
            Self::Failed(CallError::Disconnected(_)) => "disconnected",
            Self::Failed(CallError::DeadlineExceeded) => "deadline",
            Self::Failed(CallError::Cancelled) => "cancelled",
            Self::Failed(_) => "failed",
        }
    }
}

/// What the handler did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Visited {
    No,
    Runs(Duration),
    Finished(Duration),
    Dropped(Duration),
}

impl Ledger {
    pub(crate) fn new(plans: Vec<Plan>) -> Self {
        let record = |plan| Record { plan, begun: None, ended: None, visit: Visited::No };
        let calls = plans.into_iter().map(record).collect();
        Self { inner: Arc::new(Mutex::new(Inner { calls, connections: BTreeMap::new() })) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn records(&self) -> Vec<Record> {
        self.lock().calls.clone()
    }

    pub(crate) fn a_handler_runs(&self) -> bool {
        self.lock().calls.iter().any(|call| matches!(call.visit, Visited::Runs(_)))
    }

    /// A node has started, and these are its connections.
    pub(crate) fn join(&self, node: &str, connections: Vec<Connection>) {
        let before = self.lock().connections.insert(node.into(), connections);
        drop(before);
    }

    pub(crate) fn connections(&self) -> Vec<Connection> {
        self.lock().connections.values().flatten().cloned().collect()
    }

    /// The calls that this node still has to make.
    pub(crate) fn to_make(&self, node: &Node) -> Vec<Plan> {
        let inner = self.lock();
        let left = inner.calls.iter().filter(|call| call.begun.is_none() && call.plan.caller == node.name());
        left.map(|call| call.plan.clone()).collect()
    }

    pub(crate) fn begin(&self, number: usize, node: &Node) -> Running {
        let begun = self.lock().calls[number].begun.replace(node.elapsed());
        assert_eq!(begun, None, "call {number} begins once");
        Running { ledger: self.clone(), node: node.clone(), number, ended: None }
    }

    pub(crate) fn enter(&self, number: usize, node: &Node) -> Visit {
        let call = &mut self.lock().calls[number];
        assert_eq!(call.visit, Visited::No, "a handler runs once at most: {call:?}");
        assert_eq!(call.plan.callee, node.name(), "{call:?}");
        call.visit = Visited::Runs(node.elapsed());
        Visit { ledger: self.clone(), number, at: node.elapsed(), finished: false }
    }

    fn end(&self, number: usize, end: End) {
        let before = self.lock().calls[number].ended.replace(end);
        assert!(before.is_none(), "call {number} ends once");
    }
}

/// A call on the side of its caller, up to its end.
pub(crate) struct Running {
    ledger: Ledger,
    node: Node,
    number: usize,
    ended: Option<(Duration, Outcome)>,
}

impl Running {
    pub(crate) fn end(mut self, took: Duration, outcome: Outcome) {
        self.ended = Some((took, outcome));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let (took, outcome) = self.ended.take().unwrap_or((Duration::ZERO, Outcome::Lost));
        self.ledger.end(self.number, End { at: self.node.elapsed(), took, outcome });
    }
}

/// A handler that runs.
pub(crate) struct Visit {
    ledger: Ledger,
    number: usize,
    at: Duration,
    finished: bool,
}

impl Visit {
    pub(crate) fn finish(mut self) {
        self.finished = true;
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let visited = if self.finished { Visited::Finished(self.at) } else { Visited::Dropped(self.at) };
        self.ledger.lock().calls[self.number].visit = visited;
    }
}

//! What the calls made inside a handler inherit from the call being served.

use std::future::Future;
use std::sync::Arc;

use tokio::time::Instant;

/// The deadline and trace context of the call that the current task serves.
#[derive(Debug, Clone, Default)]
pub(crate) struct Inherited {
    pub(crate) deadline: Option<Instant>,
    pub(crate) traceparent: Option<Arc<str>>,
    pub(crate) made: Made,
}

/// Where a call is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Made {
    /// In a handler, which a drain waits for, and so for the calls that it makes.
    InHandler,
    #[default]
    Elsewhere,
}

tokio::task_local! {
    static SERVING: Inherited;
}

/// Runs a handler so that the calls it makes inherit.
pub(crate) fn serving<F: Future>(inherited: Inherited, handler: F) -> impl Future<Output = F::Output> {
    SERVING.scope(inherited, handler)
}

/// The same for one poll of a handler.
pub(crate) fn serving_now<T>(inherited: Inherited, poll: impl FnOnce() -> T) -> T {
    SERVING.sync_scope(inherited, poll)
}

/// What a call that is made here and now inherits; nothing outside of a handler, nor in tasks that a handler spawned.
pub(crate) fn inherited() -> Inherited {
    SERVING.try_with(Clone::clone).unwrap_or_default()
}

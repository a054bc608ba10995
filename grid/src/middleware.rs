//! What a user puts around all calls of a node.

use std::fmt;
use std::future::{Future, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use crate::call_info::{CallInfo, Direction};
use crate::error::{CallError, MethodError, Refusal};
use crate::rt::{DEADLINE_GRACE, Link};
use crate::wire::RefusalReason;

/// Sees every call of a node, those it serves and those it makes, and every item of their streams.
///
/// Each method has a body that lets everything pass, so write those you need, `on_call` as an `async fn`:
///
/// ```
/// use grid::{CallError, CallInfo, Direction, MethodError, Middleware, Refusal, RefusalReason};
///
/// struct OnlyBackups;
///
/// impl Middleware for OnlyBackups {
///     async fn on_call(&self, call: &mut CallInfo, _request: &[u8]) -> Result<(), Refusal> {
///         let restores = call.direction() == Direction::In && call.method() == Some("restore");
///         if restores && !call.caller().starts_with("https://backup-") {
///             return Err(Refusal::new(RefusalReason::Forbidden, format!("{} may not restore", call.caller())));
///         }
///         Ok(())
///     }
///
///     fn on_end(&self, call: &CallInfo, outcome: &Result<(), CallError<MethodError>>) {
///         println!("{call} by {}: {outcome:?} after {:?}", call.caller(), call.elapsed());
///     }
/// }
///
/// # let builder = grid::Manager::builder("http://127.0.0.1:9000");
/// let builder = builder.middleware(OnlyBackups);
/// ```
///
/// Several are asked in the order in which they were given to the builder, and hear of ends in the other order; one that
/// refuses a call keeps it from those behind it. For each call that one of them has let pass it hears of exactly one end.
///
/// Calls that grid refuses by itself (nothing is served under that id, it is not for guests, the node drains, a limit
/// is reached) come to no handler, and to no middleware of the serving node; the log has what guests may not call.
/// Calls that cannot be made for want of a link are seen, and end; those whose arguments cannot be encoded, or that
/// have no time, are not.
///
/// # Cost
/// A few allocations for each call, and one for each middleware. A call of a node without any costs a look at an empty list.
#[allow(unused_variables, reason = "names for those who implement it")]
pub trait Middleware: Send + Sync + 'static {
    /// A call is about to be sent, or its handler is about to run. `request` is its encoded payload.
    ///
    /// It may wait; that takes of the time of the call, which ends meanwhile if its deadline passes or its caller drops
    /// it, but for a detached handler. It may add metadata, which goes to the remote, or is shown to the handler.
    ///
    /// # Errors
    /// The call is not made, or not served: its caller gets [`CallError::Refused`], also from the opening of a stream
    /// (a v1 peer has it open by then), and no handler hears of it. A panic is that of the handler, or of the caller's
    /// task.
    fn on_call(&self, call: &mut CallInfo, request: &[u8]) -> impl Future<Output = Result<(), Refusal>> + Send {
        ready(Ok(()))
    }

    /// An item of a stream came, and its reader takes it; or one is about to be sent. Runs for each, so it must be
    /// quick. The answer to a stream of requests is no item.
    ///
    /// # Errors
    /// An item that came ends its call: its reader gets the refusal, and so does the caller, if the reader is a
    /// handler. One that was to be sent is not, and its sender gets [`SendError::Refused`](crate::SendError::Refused);
    /// the stream goes on. A panic is that of the task that reads or sends the item.
    fn on_item(&self, call: &CallInfo, direction: Direction, item: &[u8]) -> Result<(), Refusal> {
        Ok(())
    }

    /// A call has ended, however that was. The error of its method is not shown, as it may have any type.
    ///
    /// For a call that is served, this is the end of its handler: [`CallError::Cancelled`] says that its caller gave it
    /// up or broke the rules of its stream, and [`CallError::Disconnected`] that its link was lost. For a stream that
    /// is called, it is when the half that reads has told its end, or was dropped. A panic is caught and logged.
    fn on_end(&self, call: &CallInfo, outcome: &Result<(), CallError<MethodError>>) {}
}

/// The same without its types.
trait Layer: Send + Sync {
    fn on_call<'a>(&'a self, call: &'a mut CallInfo, request: &'a [u8]) -> Asked<'a>;
    fn on_item(&self, call: &CallInfo, direction: Direction, item: &[u8]) -> Result<(), Refusal>;
    fn on_end(&self, call: &CallInfo, outcome: &Result<(), CallError<MethodError>>);
}

type Asked<'a> = Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send + 'a>>;

impl<M: Middleware> Layer for M {
    fn on_call<'a>(&'a self, call: &'a mut CallInfo, request: &'a [u8]) -> Asked<'a> {
        Box::pin(Middleware::on_call(self, call, request))
    }

    fn on_item(&self, call: &CallInfo, direction: Direction, item: &[u8]) -> Result<(), Refusal> {
        Middleware::on_item(self, call, direction, item)
    }

    fn on_end(&self, call: &CallInfo, outcome: &Result<(), CallError<MethodError>>) {
        Middleware::on_end(self, call, outcome);
    }
}

/// All middleware of a node.
#[derive(Default)]
pub(crate) struct Layers(Vec<Box<dyn Layer>>);

impl Layers {
    pub(crate) fn push(&mut self, middleware: impl Middleware) {
        self.0.push(Box::new(middleware));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Layers").field(&self.0.len()).finish()
    }
}

/// One call, as the middleware of its node sees it. Tells its end once; if nobody does before it is dropped, the call was
/// cancelled.
#[derive(Debug)]
pub(crate) struct Watch {
    call: CallInfo,
    /// So many let it pass: they hear of its end.
    passed: usize,
    ended: AtomicBool,
    /// Of a call that is served.
    link: Option<Arc<Link>>,
}

impl Watch {
    /// Asks whether a call may begin.
    pub(crate) async fn begin(call: CallInfo, request: &[u8], link: Option<Arc<Link>>) -> Result<Self, Refusal> {
        let mut watch = Self { call, passed: 0, ended: AtomicBool::new(false), link };
        let shared = Arc::clone(watch.call.shared());
        for layer in &shared.settings.middleware.0 {
            if let Err(refusal) = layer.on_call(&mut watch.call, request).await {
                watch.end(&Err(CallError::Refused(refusal.clone())));
                return Err(refusal);
            }
            watch.passed += 1;
        }
        Ok(watch)
    }

    pub(crate) fn call(&self) -> &CallInfo {
        &self.call
    }

    pub(crate) fn on_item(&self, direction: Direction, item: &[u8]) -> Result<(), Refusal> {
        let layers = &self.call.shared().settings.middleware.0;
        layers.iter().try_for_each(|layer| layer.on_item(&self.call, direction, item))
    }

    /// The call has ended, if this is the first time.
    pub(crate) fn end(&self, outcome: &Result<(), CallError<MethodError>>) {
        if self.ended.swap(true, Ordering::Relaxed) {
            return;
        }
        let layers = &self.call.shared().settings.middleware.0;
        for layer in layers.iter().take(self.passed).rev() {
            if catch_unwind(AssertUnwindSafe(|| layer.on_end(&self.call, outcome))).is_err() {
                tracing::error!(target: "grid::call", call = %self.call, "a middleware panicked at the end of a call");
            }
        }
    }

    /// Nobody waits for the end any more.
    pub(crate) fn end_dropped(&self) {
        // A caller gives up at its deadline too, and which of the two ends acts first is a matter of luck.
        let grace = if self.link.is_some() { DEADLINE_GRACE } else { Duration::ZERO };
        let is_late = || self.call.deadline().is_some_and(|deadline| deadline <= Instant::now() + grace);
        let is_lost = || self.link.as_ref().is_some_and(|link| link.end().is_some());
        self.end(&Err(match () {
            () if thread::panicking() => panicked(),
            () if is_lost() => CallError::Disconnected(Arc::clone(&self.call.peer.name)),
            () if is_late() => CallError::DeadlineExceeded,
            () => CallError::Cancelled,
        }));
    }
}

/// What is told of a handler that panicked.
pub(crate) fn panicked() -> CallError<MethodError> {
    CallError::Refused(Refusal::new(RefusalReason::Panicked, "the handler panicked"))
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.end_dropped();
    }
}

//! A call that is made, while the middleware of its node is asked about it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::time::{Instant, timeout_at};

use crate::call::{Call, Shape};
use crate::call_info::{CallInfo, CallShape, Direction};
use crate::error::{CallError, Refusal};
use crate::middleware::Watch;
use crate::start::Deadline;
use crate::wire::PayloadBuf;

/// Ends when each middleware has let the call pass, or one has not, or the time of the call is over.
pub(crate) type Asking = Pin<Box<dyn Future<Output = Result<Passed, NotPassed>> + Send>>;

/// A call that all have let pass, with its request.
#[derive(Debug)]
pub(crate) struct Passed {
    watch: Watch,
    request: PayloadBuf,
}

/// Why a call is not made.
#[derive(Debug)]
pub(crate) enum NotPassed {
    Refused(Refusal),
    Late,
}

/// Takes the request of a call along, if there is anyone to be asked. The time of the call begins here.
pub(crate) fn begin<T, E>(call: &mut Call<T, E>) -> Option<Asking> {
    let peer = call.connection.peer();
    if peer.shared.settings.middleware.is_empty() {
        return None;
    }
    let began = Instant::now();
    // Without time, or arguments, the call ends for that reason.
    let deadline = Deadline::of(call, began)?.at;
    let request = call.payload.take_if(|payload| payload.is_ok())?.ok()?;
    let info = CallInfo {
        direction: Direction::Out,
        peer: Arc::clone(peer),
        handler: call.handler,
        label: call.label,
        subroute: call.connection.under().map(|subroute| Arc::clone(subroute.route())),
        shape: match call.shape {
            Shape::Single(_) => CallShape::Single,
            Shape::Stream { .. } => CallShape::Stream,
        },
        deadline,
        metadata: std::mem::take(&mut call.metadata),
        began,
    };
    Some(Box::pin(async move {
        let begun = Watch::begin(info, request.as_bytes(), None);
        let begun = match deadline {
            Some(at) => timeout_at(at, begun).await.map_err(|_| NotPassed::Late)?,
            None => begun.await,
        };
        Ok(Passed { watch: begun.map_err(NotPassed::Refused)?, request })
    }))
}

/// The call as the middleware has left it.
pub(crate) fn passed<T, E>(
    mut call: Call<T, E>,
    passed: Result<Passed, NotPassed>,
) -> Result<Call<T, E>, CallError<E>> {
    let Passed { watch, request } = match passed {
        Ok(passed) => passed,
        Err(NotPassed::Refused(refusal)) => return Err(CallError::Refused(refusal)),
        Err(NotPassed::Late) => return Err(CallError::DeadlineExceeded),
    };
    call.payload = Some(Ok(request));
    call.metadata.clone_from(&watch.call().metadata);
    call.until = watch.call().deadline();
    call.watch = Some(Arc::new(watch));
    Ok(call)
}

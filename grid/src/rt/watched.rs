//! A handler behind the middleware of its node.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;

use futures_util::FutureExt;

use super::job::is_too_large;
use super::link::Link;
use super::registry::{Answer, Failure, Handler, Request, Served, Serving};
use super::serve_stream::Acknowledged;
use crate::call_info::CallInfo;
use crate::error::{CallError, MethodError, Refusal};
use crate::middleware::{Watch, panicked};
use crate::proto::Reply;
use crate::wire::RefusalReason;

/// Runs the handler if the middleware lets the call pass, and tells it how it ended.
pub(super) fn serve(handler: &Arc<Handler>, mut request: Request, link: &Arc<Link>) -> Serving {
    let (handler, link) = (Arc::clone(handler), Arc::clone(link));
    Box::pin(async move {
        let bytes_max = link.message_bytes_max;
        let call = CallInfo::incoming(&handler, &request);
        let watch = match Watch::begin(call, &request.payload, Some(link)).await {
            Ok(watch) => Arc::new(watch),
            Err(refusal) => return Err(Failure::new(refusal.reason(), refusal.message())),
        };
        if let Some((link, stream)) = &request.stream
            && Acknowledged::of(link, &request.peer.shared.settings) == Acknowledged::OncePassed
        {
            stream.acknowledge(link);
        }
        let guard = Guard(Arc::clone(&watch));
        request.metadata.clone_from(&watch.call().metadata);
        request.watch = Some(watch);
        match AssertUnwindSafe(async { (handler.serve)(request).await }).catch_unwind().await {
            Ok(served) => {
                guard.0.end(&outcome(&served, bytes_max));
                served
            }
            Err(panic) => {
                guard.0.end(&Err(panicked()));
                resume_unwind(panic)
            }
        }
    })
}

/// A handler that is dropped before its end: halves of its stream that it gave away do not hold up what is told of it.
struct Guard(Arc<Watch>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.end_dropped();
    }
}

fn outcome(served: &Served, bytes_max: usize) -> Result<(), CallError<MethodError>> {
    let (Ok(Answer(reply)) | Err(Failure(reply))) = served;
    match reply {
        reply if is_too_large(reply, bytes_max) => {
            Err(CallError::Refused(Refusal::new(RefusalReason::BadAnswer, "the answer is too large")))
        }
        Reply::Answer(_) | Reply::Nil => Ok(()),
        Reply::Error(_) => Err(CallError::Remote(MethodError)),
        Reply::Failed(reason, text) => Err(CallError::Refused(Refusal::new(*reason, text.clone()))),
    }
}

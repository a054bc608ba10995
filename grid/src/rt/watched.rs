//! A handler behind the middleware of its node.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;

use futures_util::FutureExt;

use super::job::within;
use super::link::Link;
use super::registry::{Answer, Failure, Handler, Request, Served, Serving};
use crate::call_info::CallInfo;
use crate::error::{CallError, MethodError, Refusal};
use crate::middleware::Watch;
use crate::proto::Reply;
use crate::wire::RefusalReason;

/// Runs the handler if the middleware lets the call pass, and tells it how it ended.
pub(super) fn serve(handler: &Arc<Handler>, mut request: Request, link: &Arc<Link>) -> Serving {
    let (handler, link) = (Arc::clone(handler), Arc::clone(link));
    Box::pin(async move {
        let call = CallInfo::incoming(&handler, &request);
        let watch = match Watch::begin(call, &request.payload).await {
            Ok(watch) => Arc::new(watch),
            Err(refusal) => return Err(Failure::new(refusal.reason(), refusal.message())),
        };
        let bytes_max = link.message_bytes_max;
        let guard = Guard { watch: Arc::clone(&watch), link };
        request.metadata.clone_from(&watch.call().metadata);
        request.watch = Some(watch);
        match AssertUnwindSafe(async { (handler.serve)(request).await }).catch_unwind().await {
            Ok(served) => {
                let served = served_within(served, bytes_max);
                guard.watch.end(&outcome(&served));
                served
            }
            Err(panic) => {
                let refusal = Refusal::new(RefusalReason::Panicked, "the handler panicked");
                guard.watch.end(&Err(CallError::Refused(refusal)));
                resume_unwind(panic)
            }
        }
    })
}

/// A handler that is dropped before its end was cancelled, if not by the end of its link.
struct Guard {
    watch: Arc<Watch>,
    link: Arc<Link>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        match self.link.end() {
            Some(_) => self.watch.end(&Err(CallError::Disconnected(Arc::clone(&self.watch.call().peer.name)))),
            None => self.watch.end_dropped(),
        }
    }
}

fn served_within(served: Served, bytes_max: usize) -> Served {
    match served {
        Ok(Answer(reply)) => Ok(Answer(within(reply, bytes_max))),
        Err(Failure(reply)) => Err(Failure(within(reply, bytes_max))),
    }
}

fn outcome(served: &Served) -> Result<(), CallError<MethodError>> {
    let (Ok(Answer(reply)) | Err(Failure(reply))) = served;
    match reply {
        Reply::Answer(_) | Reply::Nil => Ok(()),
        Reply::Error(_) => Err(CallError::Remote(MethodError)),
        Reply::Failed(reason, text) => Err(CallError::Refused(Refusal::new(*reason, text.clone()))),
    }
}

//! A middleware of the node under test, which refuses this and that.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use grid::{CallError, CallInfo, Direction, MethodError, Middleware, Refusal, RefusalReason};

/// Refuses what has certain lengths, waits with others, and counts. Clones count together.
#[derive(Debug, Clone, Default)]
pub(super) struct Guard {
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    passed: AtomicUsize,
    ended: AtomicUsize,
}

impl Guard {
    /// # Panics
    /// It has not heard of one end for each call that it has let pass.
    pub(super) fn check(&self) {
        let [passed, ended] = [&self.counts.passed, &self.counts.ended].map(|count| count.load(Ordering::Relaxed));
        assert_eq!(passed, ended, "each call that a middleware lets pass has one end");
    }
}

impl Middleware for Guard {
    async fn on_call(&self, call: &mut CallInfo, request: &[u8]) -> Result<(), Refusal> {
        refuse(request)?;
        if request.len() % 4 == 2 {
            tokio::task::yield_now().await;
        }
        call.set_metadata("guard", "was here");
        self.counts.passed.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn on_item(&self, _: &CallInfo, _: Direction, item: &[u8]) -> Result<(), Refusal> {
        refuse(item)
    }

    fn on_end(&self, _: &CallInfo, _: &Result<(), CallError<MethodError>>) {
        self.counts.ended.fetch_add(1, Ordering::Relaxed);
    }
}

fn refuse(bytes: &[u8]) -> Result<(), Refusal> {
    match bytes.len() % 8 {
        7 => Err(Refusal::new(RefusalReason::Forbidden, "it has that length")),
        _ => Ok(()),
    }
}

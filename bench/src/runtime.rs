//! Runtimes beside the one that a case is measured on.

use std::future::{Future, pending};
use std::thread;

use anyhow::Result;
use tokio::runtime::Builder;
use tokio::sync::oneshot;

/// Runs something on a thread that is a runtime of its own, and gives what it gave. The runtime goes on until the process
/// ends, for what was spawned there.
pub(crate) async fn on_thread<T, F>(run: impl FnOnce() -> F + Send + 'static) -> Result<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T>>,
{
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let (done, is_done) = oneshot::channel();
    thread::spawn(move || {
        runtime.block_on(async {
            done.send(run().await).ok();
            pending::<()>().await;
        });
    });
    is_done.await?
}

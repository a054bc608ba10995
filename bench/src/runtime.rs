//! Runtimes beside the one that a case is measured on.

use std::future::Future;
use std::thread;

use anyhow::Result;
use tokio::runtime::Builder;
use tokio::sync::oneshot;

/// Runs something on a thread that is a runtime of its own, and gives what it gave.
pub(crate) async fn on_thread<T, F>(run: impl FnOnce() -> F + Send + 'static) -> Result<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T>>,
{
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let (done, is_done) = oneshot::channel();
    thread::spawn(move || done.send(runtime.block_on(run())).ok());
    is_done.await?
}

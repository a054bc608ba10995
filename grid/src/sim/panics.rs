//! Panics while a node runs. The runtime catches those of tasks, and grid those of handlers: without this module a failed
//! assertion there would be seen by nobody.

use std::cell::RefCell;
use std::panic::{set_hook, take_hook};
use std::sync::Once;

thread_local!(static SEEN: RefCell<Option<Vec<String>>> = const { RefCell::new(None) });

/// Runs something, and gives what was said of the panics on this thread meanwhile. One that is raised by
/// [`resume_unwind`](std::panic::resume_unwind) is not seen.
pub(super) fn watch<T>(run: impl FnOnce() -> T) -> (T, Vec<String>) {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let next = take_hook();
        set_hook(Box::new(move |panic| {
            SEEN.with_borrow_mut(|seen| {
                if let Some(seen) = seen {
                    seen.push(panic.to_string());
                }
            });
            next(panic);
        }));
    });
    let _watching = Watching::begin();
    let output = run();
    (output, SEEN.take().unwrap_or_default())
}

/// Ends also if there is a panic outside of tasks.
struct Watching;

impl Watching {
    fn begin() -> Self {
        SEEN.set(Some(Vec::new()));
        Self
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        SEEN.set(None);
    }
}

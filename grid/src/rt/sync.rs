//! The locks, counts and wakers of the concurrent pieces: the usual ones, or those of loom, which tries every order of
//! their steps (`models.rs`). A semaphore of tokio is one step to it.

#[cfg(not(all(test, grid_loom)))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
#[cfg(not(all(test, grid_loom)))]
pub(crate) use std::sync::{Mutex, MutexGuard};

#[cfg(not(all(test, grid_loom)))]
pub(crate) use futures_util::task::AtomicWaker;

#[cfg(all(test, grid_loom))]
pub(crate) use self::under_loom::AtomicWaker;
#[cfg(all(test, grid_loom))]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
#[cfg(all(test, grid_loom))]
pub(crate) use loom::sync::{Mutex, MutexGuard};

#[cfg(all(test, grid_loom))]
mod under_loom {
    use std::fmt;
    use std::task::Waker;

    /// With the methods of the usual one.
    #[derive(Default)]
    pub(crate) struct AtomicWaker(loom::future::AtomicWaker);

    impl AtomicWaker {
        pub(crate) fn new() -> Self {
            Self::default()
        }

        pub(crate) fn register(&self, waker: &Waker) {
            self.0.register_by_ref(waker);
        }

        pub(crate) fn take(&self) -> Option<Waker> {
            self.0.take_waker()
        }

        pub(crate) fn wake(&self) {
            self.0.wake();
        }
    }

    impl fmt::Debug for AtomicWaker {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("AtomicWaker").finish_non_exhaustive()
        }
    }
}

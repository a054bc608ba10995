//! The locks, counts and wakers of the concurrent pieces: the usual ones, or those of loom, which tries every order of
//! their steps (`models.rs`). What is done to a semaphore of tokio is one step to it; that others may come before it is seen
//! where the semaphore is the one from here.

#[cfg(not(all(test, grid_loom)))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
#[cfg(not(all(test, grid_loom)))]
pub(crate) use std::sync::{Mutex, MutexGuard};

#[cfg(not(all(test, grid_loom)))]
pub(crate) use futures_util::task::AtomicWaker;
#[cfg(not(all(test, grid_loom)))]
pub(crate) use tokio::sync::Semaphore;

#[cfg(all(test, grid_loom))]
pub(crate) use self::under_loom::{AtomicWaker, Semaphore, number_thread, thread_number};
#[cfg(all(test, grid_loom))]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
#[cfg(all(test, grid_loom))]
pub(crate) use loom::sync::{Mutex, MutexGuard};

/// A small number for each thread, so that threads tend to use shards of their own.
#[cfg(not(all(test, grid_loom)))]
pub(crate) fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static NUMBER: usize = NEXT.fetch_add(1, Ordering::Relaxed));
    NUMBER.with(|number| *number)
}

#[cfg(all(test, grid_loom))]
mod under_loom {
    use std::cell::Cell;
    use std::fmt;
    use std::ops::Deref;
    use std::task::Waker;

    use loom::sync::atomic::{AtomicUsize, Ordering};

    loom::thread_local!(static NUMBER: Cell<usize> = Cell::new(0));

    pub(crate) fn thread_number() -> usize {
        NUMBER.with(Cell::get)
    }

    /// Each has the number 0 if it does not get another.
    pub(crate) fn number_thread(number: usize) {
        NUMBER.with(|own| own.set(number));
    }

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

    /// The usual one, before each use of which other threads may have their turn.
    #[derive(Debug)]
    pub(crate) struct Semaphore {
        semaphore: tokio::sync::Semaphore,
        uses: AtomicUsize,
    }

    impl Semaphore {
        pub(crate) fn new(permits: usize) -> Self {
            Self { semaphore: tokio::sync::Semaphore::new(permits), uses: AtomicUsize::new(0) }
        }
    }

    impl Deref for Semaphore {
        type Target = tokio::sync::Semaphore;

        fn deref(&self) -> &Self::Target {
            self.uses.fetch_add(1, Ordering::Relaxed);
            &self.semaphore
        }
    }
}

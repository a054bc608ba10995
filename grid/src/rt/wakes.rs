//! Tasks that wait for what was read, to be woken together.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

/// Tasks to be woken when a turn of reading ends: one that is woken before would run beside the rest of the turn, and send
/// alone, or take alone, what else goes or comes with that of others.
#[derive(Debug, Default)]
pub(crate) struct Wakes {
    wakers: Vec<Waker>,
}

impl Wakes {
    pub(crate) fn add(&mut self, waker: Waker) {
        self.wakers.push(waker);
        if self.wakers.len() >= WAKERS_MAX {
            self.wake();
        }
    }

    pub(crate) fn wake(&mut self) {
        wake_all(self.wakers.drain(..));
    }
}

/// What was read is lost to nobody, also if a handler of frames panics.
impl Drop for Wakes {
    fn drop(&mut self) {
        self.wake();
    }
}

/// Wakes each, also if a waker of an executor of somebody's own panics: the others would sleep for ever.
pub(super) fn wake_all(wakers: impl Iterator<Item = Waker>) {
    wakers.for_each(|waker| ignoring_panics(|| waker.wake()));
}

/// The same of what wakes by itself.
pub(super) fn ignoring_panics(wake: impl FnOnce()) {
    let _woken_or_not = catch_unwind(AssertUnwindSafe(wake));
}

/// Those that wait for the end of a turn at most: 4 KiB of them. As many have enough to send for a write.
const WAKERS_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn all_are_woken_at_the_end_of_a_turn_when_there_are_many_and_when_the_driver_is_gone() {
        let count = Arc::new(Count::default());
        let woken = || count.0.load(Ordering::Relaxed);
        let mut wakes = Wakes::default();
        (1..WAKERS_MAX).for_each(|_| wakes.add(Arc::clone(&count).into()));
        assert_eq!(woken(), 0);
        wakes.add(Arc::clone(&count).into());
        assert_eq!(woken(), WAKERS_MAX);
        wakes.add(Arc::clone(&count).into());
        wakes.wake();
        assert_eq!(woken(), WAKERS_MAX + 1);
        wakes.add(Arc::clone(&count).into());
        drop(wakes);
        assert_eq!(woken(), WAKERS_MAX + 2);
    }

    #[test]
    fn a_waker_that_panics_leaves_nobody_asleep() {
        struct Panics;

        impl Wake for Panics {
            fn wake(self: Arc<Self>) {
                panic!("on purpose");
            }
        }

        let count = Arc::new(Count::default());
        let wakers: [Waker; 3] = [Arc::clone(&count).into(), Arc::new(Panics).into(), Arc::clone(&count).into()];
        wake_all(wakers.into_iter());
        assert_eq!(count.0.load(Ordering::Relaxed), 2);
    }
}

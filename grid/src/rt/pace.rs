//! How long a handler takes before it first waits for something.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What is known of a handler: about how long its first poll takes.
///
/// A handler that is quick is polled once where its request was read. That saves a task, its wake-up and the memory of
/// both, and many answers go into one write. One that is slow, or not known yet, gets a task at once, so that it has a
/// thread to itself and holds nobody up.
///
/// Being slow once weighs more than being quick often: time lost in the driver is lost to all calls of a link.
#[derive(Debug)]
pub(crate) struct Pace {
    /// A moving average.
    nanos: AtomicU64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { nanos: AtomicU64::new(UNKNOWN) }
    }
}

impl Pace {
    pub(crate) fn is_quick(&self) -> bool {
        self.nanos.load(Ordering::Relaxed) < QUICK
    }

    /// The handler was polled for the first time for a call.
    pub(crate) fn on_first_poll(&self, took: Duration) {
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let average = self.nanos.load(Ordering::Relaxed);
        let next = match took {
            // Once is enough.
            _ if average == BLOCKS || took >= BLOCKED => BLOCKS,
            _ if took > SLOW => average.max(took),
            _ => average - average / WEIGHT + took / WEIGHT,
        };
        if next != average {
            self.nanos.store(next, Ordering::Relaxed);
        }
    }
}

/// In nanoseconds. A task of its own costs a microsecond or two in all; what takes several times that had better use another
/// core.
const QUICK: u64 = 10_000;
/// So many quick polls make a handler quick: `WEIGHT * ln(UNKNOWN / QUICK)`, some twenty.
const UNKNOWN: u64 = 2 * QUICK;
/// Longer than a thread of a runtime may be kept from other tasks by common advice (10 to 100 µs between two awaits): the
/// handler is slow for a hundred calls and more.
const SLOW: u64 = 100_000;
/// So long only what blocks a thread takes, or a machine that stood still. The handler always gets a task from then on.
const BLOCKED: u64 = 20_000_000;
/// Stands for an average of a handler that has blocked.
const BLOCKS: u64 = u64::MAX;
/// How many polls the average is over.
const WEIGHT: u64 = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn polls(pace: &Pace, count: u32, micros: u64) {
        (0..count).for_each(|_| pace.on_first_poll(Duration::from_micros(micros)));
    }

    #[test]
    fn a_handler_has_to_show_that_it_is_quick() {
        let pace = Pace::default();
        assert!(!pace.is_quick());
        polls(&pace, 30, 1);
        assert!(pace.is_quick());
    }

    #[test]
    fn one_that_was_slow_is_slow_for_long_and_one_that_computes_is_never_quick() {
        let pace = Pace::default();
        polls(&pace, 30, 1);
        polls(&pace, 1, 5_000);
        polls(&pace, 150, 1);
        assert!(!pace.is_quick());
        polls(&pace, 150, 1);
        assert!(pace.is_quick());
        polls(&pace, 100, 50);
        assert!(!pace.is_quick());
    }

    #[test]
    fn one_that_blocks_once_is_never_quick_again() {
        let pace = Pace::default();
        polls(&pace, 30, 1);
        polls(&pace, 1, 20_000);
        polls(&pace, 10_000, 1);
        assert!(!pace.is_quick());
    }
}

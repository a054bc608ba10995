//! Tells of a machine that does not come to the end of a step: a node that loops would hang its test without a word.

use std::fmt;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Looks from a thread of its own, which ends when this is dropped.
pub(super) struct Watchdog {
    current: Current,
    looking: Option<(Sender<()>, JoinHandle<()>)>,
}

/// The step that is under way.
type Current = Arc<Mutex<Option<Arc<Step>>>>;

/// A step of a machine.
#[derive(Debug)]
pub(super) struct Step {
    node: Arc<str>,
    at: Duration,
}

/// Until it is dropped, the step is under way.
#[must_use]
pub(super) struct Turn<'a>(&'a Current);

impl Watchdog {
    /// Tells, once, of each step that takes twice as long as this, or of some that take longer than this.
    pub(super) fn new(limit: Duration, tell: impl Fn(&Step) + Send + 'static) -> Self {
        let current = Current::default();
        let (stop, stopped) = mpsc::channel();
        let watched = Arc::clone(&current);
        let looking = thread::spawn(move || {
            let (mut seen, mut told) = (None, false);
            while stopped.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                let now = lock(&watched).clone();
                let goes_on = matches!((&now, &seen), (Some(now), Some(seen)) if Arc::ptr_eq(now, seen));
                if let Some(step) = now.as_ref().filter(|_| goes_on && !told) {
                    tell(step);
                }
                told = goes_on;
                seen = now;
            }
        });
        Self { current, looking: Some((stop, looking)) }
    }

    pub(super) fn begin(&self, node: &Arc<str>, at: Duration) -> Turn<'_> {
        *lock(&self.current) = Some(Arc::new(Step { node: Arc::clone(node), at }));
        Turn(&self.current)
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        if let Some((stop, looking)) = self.looking.take() {
            drop(stop);
            drop(looking.join());
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *lock(self.0) = None;
    }
}

fn lock(current: &Current) -> std::sync::MutexGuard<'_, Option<Arc<Step>>> {
    current.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "after {:?}: {} works on and on at this one step: it may loop without end", self.at, self.node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_without_end_is_told_once_and_the_next_one_too() {
        let (tell, told) = mpsc::channel();
        let watchdog = Watchdog::new(Duration::from_millis(1), move |step| tell.send(step.to_string()).unwrap());
        for (node, at) in [("http://a:1", 17), ("http://b:1", 18)] {
            let turn = watchdog.begin(&node.into(), Duration::from_secs(at));
            let text = told.recv().expect("it tells");
            assert!(text.starts_with(&format!("after {at}s: {node} works on")), "{text}");
            drop(turn);
        }
        drop(watchdog);
        assert!(told.recv().is_err(), "once each, and nothing after the end");
    }
}

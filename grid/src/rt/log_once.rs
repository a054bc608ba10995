//! Keeps a fault that repeats from flooding the log.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::LinkError;

/// Remembers the last fault of each name.
#[derive(Debug, Default)]
pub(crate) struct LogOnce {
    last: Mutex<HashMap<Box<str>, Box<str>>>,
}

impl LogOnce {
    /// Whether this fault is news. Faults that differ only behind their first colon are the same.
    pub(crate) fn is_news(&self, name: &str, fault: &str) -> bool {
        let kind = fault.split(':').next().unwrap_or_default();
        let mut last = self.lock();
        if let Some(known) = last.get_mut(name) {
            let news = **known != *kind;
            *known = kind.into();
            return news;
        }
        if last.len() >= NAMES_MAX {
            return false;
        }
        last.insert(name.into(), kind.into());
        true
    }

    /// All is well again with this name: its next fault is news.
    pub(crate) fn forget(&self, name: &str) {
        self.lock().remove(name);
    }

    /// Somebody came in: what kept others out before is news again.
    pub(crate) fn forget_all(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Box<str>>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Names may come from strangers, so they are bounded; beyond this many, faults of further ones are not news.
const NAMES_MAX: usize = 256;

/// A fault for the log, which may be told in words of the other side: on one line, and not endless.
pub(super) fn shown(why: &LinkError) -> String {
    let why = why.to_string();
    let end = why.floor_char_boundary(SHOWN_BYTES_MAX);
    why.get(..end).unwrap_or_default().escape_debug().to_string()
}

/// Bytes of a fault that are logged: more than any of our own has.
const SHOWN_BYTES_MAX: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_news_once_until_it_changes_or_heals() {
        let log = LogOnce::default();
        assert!(log.is_news("a", "time difference too large: 301.1s"));
        assert!(!log.is_news("a", "time difference too large: 302.7s"));
        assert!(log.is_news("b", "time difference too large: 301s"));
        assert!(log.is_news("a", "auth token: bad"));
        log.forget("a");
        assert!(log.is_news("a", "auth token: bad"));
    }

    #[test]
    fn strangers_take_bounded_memory() {
        let log = LogOnce::default();
        for stranger in 0..10_000 {
            log.is_news(&stranger.to_string(), "x");
        }
        assert_eq!(log.lock().len(), NAMES_MAX);
    }
}

//! Keeps a fault that repeats from flooding the log.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Remembers the faults of each peer that a node dials.
#[derive(Debug, Default)]
pub(crate) struct LogOnce {
    known: Mutex<HashMap<Box<str>, Vec<Box<str>>>>,
}

impl LogOnce {
    /// Whether this fault is news. Faults that differ only behind their first colon are the same; of two that alternate,
    /// each is news once.
    pub(crate) fn is_news(&self, name: &str, fault: &str) -> bool {
        let kind = fault.split(':').next().unwrap_or_default();
        let kind = kind.get(..kind.floor_char_boundary(KIND_BYTES_MAX)).unwrap_or_default();
        let mut known = self.lock();
        if let Some(kinds) = known.get_mut(name) {
            let news = kinds.len() < KINDS_MAX && kinds.iter().all(|known| **known != *kind);
            if news {
                kinds.push(kind.into());
            }
            return news;
        }
        known.insert(name.into(), vec![kind.into()]);
        true
    }

    /// All is well again with this name: its next fault is news.
    pub(crate) fn forget(&self, name: &str) {
        self.lock().remove(name);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Vec<Box<str>>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells a new outage of one thing from one that goes on, in which all may be well for a moment now and then.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    last: Option<(Instant, Box<str>)>,
}

impl Outage {
    /// Whether this fault, which happens now, is news.
    pub(crate) fn is_news(&mut self, fault: &str, now: Instant) -> bool {
        let goes_on = |(at, last): &(Instant, Box<str>)| **last == *fault && now.duration_since(*at) < OUTAGE_PAUSE;
        let news = !self.last.as_ref().is_some_and(goes_on);
        self.last = Some((now, fault.into()));
        news
    }
}

/// What anybody may bring about at any rate: each sort is told once a minute, with how many were not since.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    known: Mutex<HashMap<Notice, HashMap<Box<str>, Told>>>,
}

/// What there is to tell. Many sorts of one of them are in no other's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Notice {
    TurnedAway,
    NotForGuests,
    TwoProcesses,
}

#[derive(Debug)]
struct Told {
    at: Instant,
    untold: u64,
}

impl Notices {
    /// Whether this is to be told: after so many that were not.
    pub(crate) fn tell(&self, notice: Notice, sort: &str) -> Option<u64> {
        let now = Instant::now();
        let sort = sort.get(..sort.floor_char_boundary(KIND_BYTES_MAX)).unwrap_or_default();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.entry(notice).or_default();
        if let Some(told) = known.get_mut(sort) {
            if now.duration_since(told.at) < NOTICE_PAUSE {
                told.untold += 1;
                return None;
            }
            told.at = now;
            return Some(std::mem::take(&mut told.untold));
        }
        if known.len() >= SORTS_MAX {
            known.retain(|_, told| now.duration_since(told.at) < NOTICE_PAUSE);
        }
        if known.len() >= SORTS_MAX {
            return None;
        }
        known.insert(sort.into(), Told { at: now, untold: 0 });
        Some(0)
    }
}

/// More than there are ways to fail, for each peer of a large mesh that is shut out at once; beyond, some are not told.
const SORTS_MAX: usize = 1024;
/// More kinds of faults than a peer has at one time, unless it makes them up.
const KINDS_MAX: usize = 16;
/// A fault may hold what a peer says.
const KIND_BYTES_MAX: usize = 128;
/// Much longer than what fails again and again stays well in between.
const OUTAGE_PAUSE: Duration = Duration::from_secs(60);
/// Seldom enough for the log, often enough for who looks into it.
const NOTICE_PAUSE: Duration = Duration::from_secs(60);

/// A text for the log that may be in words of the other side: on one line, and not endless.
pub(super) fn shown(text: &impl fmt::Display) -> String {
    let text = text.to_string();
    let end = text.floor_char_boundary(SHOWN_BYTES_MAX);
    text.get(..end).unwrap_or_default().escape_debug().to_string()
}

/// Bytes of such a text that are logged: more than any of our own has.
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
    fn faults_that_alternate_are_news_once_each() {
        let log = LogOnce::default();
        let faults = ["cannot reach a: no descriptors", "closed by the peer: reset"];
        let news = faults.repeat(10).into_iter().filter(|fault| log.is_news("a", fault)).count();
        assert_eq!(news, 2);
    }

    #[test]
    fn what_a_peer_makes_up_takes_bounded_memory() {
        let log = LogOnce::default();
        let news = (0..100).filter(|number| log.is_news("a", &format!("{number} {}", "x".repeat(1000)))).count();
        assert_eq!(news, KINDS_MAX);
        assert!(log.lock().values().flatten().all(|kind| kind.len() <= KIND_BYTES_MAX));
    }

    #[test]
    fn an_outage_is_news_again_once_it_was_over_for_a_minute() {
        let (mut outage, start) = (Outage::default(), Instant::now());
        let mut at = |second, fault| outage.is_news(fault, start + Duration::from_secs(second));
        assert!(at(0, "no descriptors"));
        assert!(!at(50, "no descriptors"));
        assert!(!at(100, "no descriptors"), "it goes on");
        assert!(at(101, "aborted"));
        assert!(at(102, "no descriptors"));
        assert!(at(162, "no descriptors"), "it was over");
    }

    #[tokio::test(start_paused = true)]
    async fn each_sort_of_notices_is_told_once_a_minute_with_how_many_were_not() {
        let notices = Notices::default();
        let told = [0; 5].map(|_| notices.tell(Notice::TurnedAway, "a"));
        assert_eq!(told, [Some(0), None, None, None, None]);
        assert_eq!(notices.tell(Notice::TurnedAway, "b"), Some(0));
        tokio::time::advance(NOTICE_PAUSE).await;
        assert_eq!([0; 2].map(|_| notices.tell(Notice::TurnedAway, "a")), [Some(4), None]);
    }

    #[tokio::test(start_paused = true)]
    async fn notices_take_bounded_memory_keep_no_others_back_and_give_way_when_old() {
        let notices = Notices::default();
        let tell = |number: usize| notices.tell(Notice::TwoProcesses, &number.to_string());
        assert_eq!((0..10_000).filter_map(tell).count(), SORTS_MAX);
        assert_eq!(notices.tell(Notice::TurnedAway, "a"), Some(0));
        tokio::time::advance(NOTICE_PAUSE).await;
        assert_eq!(tell(10_000), Some(0));
        let known = notices.known.lock().unwrap();
        assert!(known.values().all(|sorts| sorts.len() <= SORTS_MAX), "{known:?}");
    }
}

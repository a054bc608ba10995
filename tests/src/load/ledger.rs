//! What became of calls.

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use grid::Connection;
use tokio::time::timeout;

use super::{DEADLINE, End, Kind, caller};

/// Counts calls that have begun, and how they ended.
#[derive(Debug, Default)]
pub struct Ledger {
    begun: AtomicU64,
    ends: [[AtomicU64; End::ALL.len()]; Kind::ALL.len()],
    items: AtomicU64,
    faults: Mutex<Vec<String>>,
}

impl Ledger {
    /// Makes a call, and keeps its end.
    pub async fn call(&self, connection: &Connection, kind: Kind) -> End {
        self.begun.fetch_add(1, Ordering::Relaxed);
        let outcome = timeout(LONGEST, caller::call(connection, kind, self)).await;
        let end = match outcome.unwrap_or_else(|_| Err(format!("no end after {LONGEST:?}"))) {
            Ok(end) => end,
            Err(fault) => {
                let mut faults = self.faults.lock().unwrap();
                if faults.len() < FAULTS_MAX {
                    faults.push(format!("{kind:?} to {}: {fault}", connection.remote()));
                }
                End::Wrong
            }
        };
        self.ends[kind as usize][end as usize].fetch_add(1, Ordering::Relaxed);
        end
    }

    /// Items of streams that have arrived.
    pub fn items(&self) -> u64 {
        self.items.load(Ordering::Relaxed)
    }

    pub(super) fn add_items(&self, items: usize) {
        self.items.fetch_add(items as u64, Ordering::Relaxed);
    }

    /// Calls that have begun.
    pub fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }

    /// Calls that have ended so.
    pub fn ended(&self, end: End) -> u64 {
        Kind::ALL.into_iter().map(|kind| self.ended_of(kind, end)).sum()
    }

    /// Calls of one kind that have ended so.
    pub fn ended_of(&self, kind: Kind, end: End) -> u64 {
        self.ends[kind as usize][end as usize].load(Ordering::Relaxed)
    }

    /// Calls that ended by their deadline, though it is far off.
    pub fn overdue(&self) -> u64 {
        self.ended(End::Late) - self.ended_of(Kind::Late, End::Late)
    }

    /// Calls that have not ended.
    pub fn open(&self) -> u64 {
        let ended: u64 = End::ALL.into_iter().map(|end| self.ended(end)).sum();
        self.begun() - ended
    }

    /// What was wrong with the first calls that ended as they must not.
    pub fn faults(&self) -> Vec<String> {
        self.faults.lock().unwrap().clone()
    }

    /// # Panics
    /// A call has not ended, or ended as it must not.
    pub fn assert_accounted(&self) {
        assert_eq!(self.faults(), Vec::<String>::new(), "each call ends as it may");
        assert_eq!(self.open(), 0, "each call ends");
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [answered, lost, given_up] = [End::Answered, End::Disconnected, End::GivenUp].map(|end| self.ended(end));
        let (late, overdue) = (self.ended_of(Kind::Late, End::Late), self.overdue());
        write!(f, "{} calls: {answered} answered, {lost} disconnected, {late} late as planned, ", self.begun())?;
        write!(f, "{overdue} overdue, {given_up} given up; {} items", self.items())
    }
}

/// Longer than a call takes from its deadline to its end on a busy machine.
const LONGEST: Duration = DEADLINE.saturating_mul(2);
/// The first ones tell enough.
const FAULTS_MAX: usize = 10;

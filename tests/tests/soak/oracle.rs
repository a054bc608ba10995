//! What may become of a call.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;
use std::time::Duration;

use grid::{CallError, RefusalReason, RemoteError};

use crate::plan::{Drops, EndsWith, Kind, Plan, millis};

/// How a call ended for its caller.
#[derive(Debug)]
pub(crate) enum End {
    /// With so many items, and an error or none.
    Outcome { items: u8, error: Option<CallError<RemoteError>> },
    /// The caller dropped it.
    GivenUp,
}

/// Judges the ends of calls, and counts them.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    ends: Mutex<BTreeMap<&'static str, usize>>,
}

impl Oracle {
    pub(crate) fn judge(&self, plan: Plan, took: Duration, end: End) {
        let name = match end {
            End::GivenUp => "given up",
            End::Outcome { items, error } => {
                assert!(items <= plan.items[1], "{plan:?}: {items} items");
                let name = outcome(plan, took, error);
                if matches!(name, "clean end" | "error" | "panic") {
                    assert_eq!(items, plan.items[1], "{plan:?}: items are missing before its {name}");
                }
                name
            }
        };
        *self.ends.lock().unwrap().entry(name).or_default() += 1;
    }

    pub(crate) fn assert_all_seen(&self) {
        let ends = self.ends.lock().unwrap();
        for end in ["clean end", "error", "panic", "deadline", "disconnected", "given up", "cancelled"] {
            assert!(ends.get(end).is_some_and(|count| *count > 100), "{end} is among the ends: {ends:?}");
        }
    }
}

fn outcome(plan: Plan, took: Duration, error: Option<CallError<RemoteError>>) -> &'static str {
    match error {
        None => {
            assert_eq!(plan.ends_with, EndsWith::Answer, "{plan:?}");
            "clean end"
        }
        Some(CallError::Remote(error)) => {
            let wanted = RemoteError::new(Plan::error(plan.number));
            assert_eq!((error, plan.ends_with), (wanted, EndsWith::Error), "{plan:?}");
            "error"
        }
        Some(CallError::Refused(refusal)) => {
            assert_eq!((refusal.reason(), plan.ends_with), (RefusalReason::Panicked, EndsWith::Panic), "{refusal}");
            "panic"
        }
        Some(CallError::DeadlineExceeded) => {
            let timeout = plan.timeout.map(millis).unwrap_or_else(|| panic!("{plan:?} has no deadline"));
            assert!(took >= timeout, "{plan:?} took {took:?}");
            "deadline"
        }
        Some(CallError::Disconnected(_)) => "disconnected",
        Some(CallError::Cancelled) => {
            let dropped = plan.gives_up.is_some_and(|gives_up| gives_up.drops == Drops::Outbound);
            assert!(dropped && plan.kind != Kind::Single, "{plan:?}");
            "cancelled"
        }
        Some(other) => panic!("{plan:?} ended with {other}"),
    }
}

impl fmt::Display for Oracle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ends = self.ends.lock().unwrap();
        let ends = ends.iter().map(|(end, count)| format!("{count} {end}"));
        f.write_str(&ends.collect::<Vec<_>>().join(", "))
    }
}

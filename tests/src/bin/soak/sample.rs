//! What is counted each minute, and what it must be.

use std::fmt;
use std::time::Duration;

use grid_tests::allocator::Live;
use grid_tests::load::{End, Kind};
use grid_tests::process::{descriptors, resident_kib};
use tokio::runtime::Handle;

use crate::ALLOCATOR;
use crate::mesh::Mesh;

/// What had happened, and what was held, at the quiet end of a minute.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    minute: u32,
    /// Calls by their ends, in this minute.
    ended: [u64; End::ALL.len()],
    overdue: u64,
    items: u64,
    took: Duration,
    totals: Totals,
    resident_kib: u64,
    live: Live,
    descriptors: usize,
    tasks: usize,
}

/// What the last minute is taken off from.
#[derive(Debug, Clone, Copy, Default)]
struct Totals {
    ended: [u64; End::ALL.len()],
    overdue: u64,
    items: u64,
    reconnects: u64,
}

impl Sample {
    pub(crate) const HEADER: &str = "minute | calls/s: answered disconnected late overdue given-up wrong | items/s \
                                     | KiB resident | live KiB, blocks | descriptors | tasks | reconnections";

    pub(crate) fn take(mesh: &Mesh, last: Option<&Self>, minute: u32, took: Duration) -> Self {
        let before = last.map_or_else(Totals::default, |last| last.totals);
        let ledger = &mesh.ledger;
        let totals = Totals {
            ended: End::ALL.map(|end| ledger.ended(end)),
            overdue: ledger.overdue(),
            items: ledger.items(),
            reconnects: mesh.reconnects(),
        };
        let mut ended = totals.ended;
        ended.iter_mut().zip(before.ended).for_each(|(now, before)| *now -= before);
        Self {
            minute,
            ended,
            overdue: totals.overdue - before.overdue,
            items: totals.items - before.items,
            took,
            totals,
            resident_kib: resident_kib().unwrap_or_default(),
            live: ALLOCATOR.live(),
            descriptors: descriptors().unwrap_or_default(),
            tasks: Handle::current().metrics().num_alive_tasks(),
        }
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = |count: u64| count as f64 / self.took.as_secs_f64();
        let [answered, disconnected, late, given_up, wrong] = self.ended.map(rate);
        let late = late - rate(self.overdue);
        write!(f, "{:3} | {answered:.1} {disconnected:.1} {late:.1} {:.2} ", self.minute, rate(self.overdue))?;
        write!(f, "{given_up:.1} {wrong:.1} | {:.0} | {} ", rate(self.items), self.resident_kib)?;
        write!(f, "| {} {} | {} ", self.live.bytes >> 10, self.live.blocks, self.descriptors)?;
        write!(f, "| {} | {}", self.tasks, self.totals.reconnects)
    }
}

/// All that is not as it must be.
pub(crate) fn verdict(samples: &[Sample], mesh: &Mesh) -> Vec<String> {
    let mut faults = mesh.ledger.faults();
    let open = mesh.ledger.open();
    if open > 0 {
        faults.push(format!("{open} calls have not ended"));
    }
    if !mesh.is_idle() {
        faults.push("something is left of calls that have ended".to_owned());
    }
    for kind in Kind::ALL {
        if End::ALL.iter().all(|end| *end == End::Wrong || mesh.ledger.ended_of(kind, *end) == 0) {
            faults.push(format!("there was no call of the kind {kind:?}"));
        }
    }
    let idle = samples.iter().filter(|sample| sample.ended[End::Answered as usize] == 0);
    faults.extend(idle.map(|sample| format!("no call was answered in minute {}", sample.minute)));
    let first = samples.len().div_ceil(WARM_PART);
    let Some((last, warm)) = samples.last().zip(samples.get(..first)) else { return faults };
    let grown = |what: &str, value: fn(&Sample) -> u64, slack: u64| {
        let (before, after) = (warm.iter().map(value).max().unwrap_or_default(), value(last));
        (after > before + slack).then(|| format!("{what}: {after}, and at most {before} in the first {first} minutes"))
    };
    faults.extend(grown("KiB resident", |sample| sample.resident_kib, 16 << 10));
    faults.extend(grown("KiB allocated", |sample| (sample.live.bytes >> 10) as u64, 256));
    faults.extend(grown("blocks allocated", |sample| sample.live.blocks as u64, 256));
    faults.extend(grown("descriptors", |sample| sample.descriptors as u64, 0));
    faults.extend(grown("tasks", |sample| sample.tasks as u64, 0));
    faults
}

/// One in so many minutes, rounded up, is for getting warm.
const WARM_PART: usize = 6;

//! Whether what became of a call could become of it, given what happened to its nodes.

use std::time::Duration;

use grid::sim::{Fault, FaultKind};
use grid::{CallError, RefusalReason};

use super::ledger::{End, Outcome, Record, Visited};
use super::plan::{Ends, Kind};
use super::service::Oops;

/// What excuses a call that came to no good end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) what: What,
    pub(crate) nodes: Vec<String>,
    pub(crate) from: Duration,
    pub(crate) until: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// The nodes have no links yet.
    Start,
    /// The node is shut down.
    Leaves,
    Fault(FaultKind),
}

impl From<Fault> for Trouble {
    fn from(Fault { kind, node, other, from, until, .. }: Fault) -> Self {
        let nodes = [Some(node), other].into_iter().flatten().map(|name| name.to_string()).collect();
        Self { what: What::Fault(kind), nodes, from, until }
    }
}

impl Trouble {
    /// Whether it, or what it leaves behind, is on the way of a call.
    fn is_between(&self, record: &Record) -> bool {
        let ends = [&record.plan.caller, &record.plan.callee];
        match &self.nodes[..] {
            [] => true,
            [node] => ends.contains(&node),
            nodes => ends.iter().all(|end| nodes.contains(end)),
        }
    }

    fn overlaps(&self, from: Duration, until: Duration) -> bool {
        self.from <= until + STEP && from <= self.until + AFTERMATH
    }

    /// The program of the node ends, and is started again.
    fn is_end_of(&self, node: &str) -> bool {
        let ends = matches!(self.what, What::Leaves | What::Fault(FaultKind::Crash | FaultKind::PowerOff));
        ends && self.nodes.iter().any(|name| name == node)
    }

    fn stalls(&self, node: &str) -> bool {
        self.what == What::Fault(FaultKind::Stall) && self.nodes.iter().any(|name| name == node)
    }
}

/// What the nodes were built with, as far as it decides what may become of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    Ample,
    /// So that calls are refused for them.
    Tight,
}

/// # Panics
/// It could not.
pub(crate) fn judge(record: &Record, troubles: &[Trouble], room: Room) {
    if let Err(why) = verdict(record, troubles, room) {
        let on_the_way: Vec<_> = troubles.iter().filter(|trouble| trouble.is_between(record)).collect();
        panic!("{why}: {record:#?}\n{on_the_way:#?}");
    }
}

fn verdict(record: &Record, troubles: &[Trouble], room: Room) -> Result<(), &'static str> {
    let Record { plan, begun, ended, visit } = record;
    let Some(begun) = *begun else { return Err("it never began") };
    let Some(End { at, took, outcome }) = ended else { return Err("it never ended") };
    let any = |is: &dyn Fn(&Trouble) -> bool| {
        troubles.iter().any(|trouble| trouble.overlaps(begun, *at) && trouble.is_between(record) && is(trouble))
    };
    let is_troubled = any(&|_| true);
    let leaves = any(&|trouble| trouble.what == What::Leaves);
    let has_finished = matches!(visit, Visited::Finished(_));
    let as_planned = |ends| if plan.ends == ends && has_finished { Ok(()) } else { Err("its handler did not end so") };
    let allowed = |is, otherwise| if is { Ok(()) } else { Err(otherwise) };
    match visit {
        Visited::Runs(_) => return Err("its handler is left running"),
        Visited::Dropped(entered) if plan.kind == Kind::Detached => {
            let ends = |trouble: &Trouble| trouble.is_end_of(&plan.callee) && trouble.until >= *entered;
            allowed(troubles.iter().any(ends), "a detached handler was dropped")?;
        }
        Visited::Dropped(_) | Visited::No | Visited::Finished(_) => {}
    }
    match outcome {
        Outcome::Done => as_planned(Ends::Answer),
        Outcome::GaveUp => allowed(plan.gives_up.is_some(), "its caller did not give up"),
        Outcome::Lost => allowed(any(&|trouble| trouble.is_end_of(&plan.caller)), "its caller was not to end"),
        Outcome::Failed(error) => match error {
            CallError::Remote(Oops::Planned(number)) if *number == plan.number => as_planned(Ends::Error),
            CallError::Remote(Oops::NotCalledBack(why)) => {
                let is_full = room == Room::Tight && why.contains("are in flight");
                let may_fail = plan.calls_back() && !has_finished && (is_troubled || is_full);
                allowed(may_fail, "its caller could be called back")
            }
            CallError::Refused(refusal) => match refusal.reason() {
                RefusalReason::Panicked => as_planned(Ends::Panic),
                RefusalReason::Overloaded => {
                    let ran = *visit != Visited::No && matches!(plan.kind, Kind::Single | Kind::Detached);
                    allowed(!ran && room == Room::Tight, "there was room for it")
                }
                RefusalReason::Draining => allowed(leaves && *visit == Visited::No, "nobody was about to leave"),
                _ => Err("it was refused for no good reason"),
            },
            CallError::Disconnected(peer) => {
                allowed(is_troubled && **peer == *plan.callee, "nothing came between its nodes")
            }
            CallError::Cancelled => allowed(leaves, "its caller was not shut down"),
            CallError::DeadlineExceeded => {
                let single = matches!(plan.kind, Kind::Single | Kind::Detached).then_some(CALL);
                let Some(timeout) = plan.timeout().or(single) else { return Err("it had no deadline") };
                let stalled = any(&|trouble| trouble.stalls(&plan.caller));
                // What came before it is read first.
                let reading = Duration::from_millis(plan.reading_takes * plan.items as u64);
                let on_time = *took >= timeout && (stalled || *took <= timeout + reading);
                allowed(on_time, "its deadline was at another time")
            }
            _ => Err("it cannot fail so"),
        },
    }
}

/// The time that single calls have without a timeout.
pub(crate) const CALL: Duration = Duration::from_secs(8);
/// What a trouble leaves behind is over by then: a dead link is noticed, and a new one made.
pub(crate) const AFTERMATH: Duration = Duration::from_secs(4);
/// How much later things may be seen.
const STEP: Duration = Duration::from_millis(10);

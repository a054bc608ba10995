//! Faults at random.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::routes::{Place, Way};
use super::{HostState, Sim};

/// A fault that [`Sim::chaos`] has drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fault {
    /// What it was.
    pub kind: FaultKind,
    /// The node that it befell; of a way between two, that from which it leads.
    pub node: Arc<str>,
    /// The node to which the way leads, if it befell one.
    pub other: Option<Arc<str>>,
    /// When it began, as [`Sim::elapsed`] has it.
    pub from: Duration,
    /// When it was mended.
    pub until: Duration,
}

/// What befalls a node, or the ways between two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultKind {
    /// [`Sim::partition`].
    Partition,
    /// [`Sim::partition_one_way`].
    OneWay,
    /// [`Sim::delay`], of up to half a second.
    Slow,
    /// [`Sim::cut`].
    Cut,
    /// [`Sim::crash`], and a restart.
    Crash,
    /// [`Sim::power_off`], and a restart.
    PowerOff,
    /// [`Sim::stall`].
    Stall,
    /// [`Sim::set_clock`], by up to ten minutes.
    Clock,
}

impl Sim {
    /// Runs for so long under faults that are drawn from the seed, some at the same time. At the end all are mended, and the
    /// nodes that they took down are started again. Gives what they were.
    ///
    /// # Panics
    /// There are no nodes; a node has panicked, or its program has failed.
    pub fn chaos(&mut self, time: Duration) -> Vec<Fault> {
        let end = self.elapsed() + time;
        let (mut active, mut over): (Vec<Fault>, Vec<Fault>) = (Vec::new(), Vec::new());
        let mut next = self.elapsed();
        while self.elapsed() < end {
            let mended = active.iter().map(|fault| fault.until).min().unwrap_or(end);
            let until = next.min(mended).min(end);
            self.run_for(until.saturating_sub(self.elapsed()));
            for fault in active.extract_if(.., |fault| fault.until <= until) {
                self.mend(&fault);
                over.push(fault);
            }
            if next <= until && until < end {
                next = until + self.draw(PAUSE);
                let fault = self.draw_fault();
                if self.befall(&fault) == Befell::Yes {
                    active.push(fault);
                }
            }
        }
        for mut fault in active {
            fault.until = end;
            self.mend(&fault);
            over.push(fault);
        }
        over
    }

    fn draw(&self, range: RangeInclusive<Duration>) -> Duration {
        self.network.with(|state| state.draw(range))
    }

    fn below(&self, end: usize) -> usize {
        self.network.with(|state| state.below(end))
    }

    fn draw_fault(&self) -> Fault {
        let mut names: Vec<_> = self.hosts.iter().map(|host| Arc::clone(&host.node.name)).collect();
        assert!(!names.is_empty(), "chaos needs a node");
        let node = names.swap_remove(self.below(names.len()));
        // What befalls one node, and then what befalls a way.
        let kinds = match names.len() {
            0 => ALONE,
            _ => ALL,
        };
        let kind = kinds.get(self.below(kinds.len())).copied().unwrap_or(FaultKind::Stall);
        let other = (!ALONE.contains(&kind)).then(|| names.swap_remove(self.below(names.len())));
        let from = self.elapsed();
        let lasts = match kind {
            FaultKind::Cut => Duration::ZERO..=Duration::ZERO,
            FaultKind::Stall => STALL,
            _ => LASTS,
        };
        Fault { kind, node, other, from, until: from + self.draw(lasts) }
    }

    fn befall(&mut self, Fault { kind, node, other, from, until }: &Fault) -> Befell {
        let other = other.as_deref().unwrap_or_default();
        match kind {
            FaultKind::Partition => self.partition(node, other),
            FaultKind::OneWay => self.partition_one_way(node, other),
            FaultKind::Slow => self.slow(node, other),
            FaultKind::Cut => self.cut(node, other),
            // Whose program has ended of itself is not to begin again.
            FaultKind::Crash | FaultKind::PowerOff if matches!(self.host(node).state, HostState::Down) => {
                return Befell::No;
            }
            FaultKind::Crash => self.crash(node),
            FaultKind::PowerOff => self.power_off(node),
            FaultKind::Stall => self.stall(node, *until - *from),
            FaultKind::Clock => {
                let (clock, step) = (self.clock(node), self.draw(CLOCK));
                let time = if self.below(2) == 0 { clock + step } else { clock - step };
                self.set_clock(node, time);
            }
        }
        Befell::Yes
    }

    fn slow(&mut self, a: &str, b: &str) {
        let (a, b) = self.places(a, b);
        let least = self.draw(SLOW);
        for (from, to) in [(a, b), (b, a)] {
            self.network.with(|state| state.routes.slow(from, to, least));
        }
    }

    fn mend(&mut self, Fault { kind, node, other, .. }: &Fault) {
        let (place, other) = (self.place(node), other.as_deref().map(|other| self.place(other)));
        let ways = |other: Place| [(place, other), (other, place)];
        match (kind, other) {
            (FaultKind::Partition | FaultKind::OneWay, Some(other)) => self.network.with(|state| {
                ways(other).into_iter().for_each(|(from, to)| state.routes.set_way(from, to, Way::Open));
            }),
            (FaultKind::Slow, Some(other)) => self.network.with(|state| {
                ways(other).into_iter().for_each(|(from, to)| state.routes.slow(from, to, Duration::ZERO));
            }),
            (FaultKind::Crash | FaultKind::PowerOff, _) => self.restart(node),
            (FaultKind::Clock, _) => self.network.with(|state| state.set_clock_right(place)),
            _ => {}
        }
    }
}

/// Whether a fault could be had.
#[derive(PartialEq, Eq)]
enum Befell {
    Yes,
    No,
}

const ALONE: &[FaultKind] = &[FaultKind::Crash, FaultKind::PowerOff, FaultKind::Stall, FaultKind::Clock];
const ALL: &[FaultKind] = &[
    FaultKind::Partition,
    FaultKind::OneWay,
    FaultKind::Slow,
    FaultKind::Cut,
    FaultKind::Crash,
    FaultKind::PowerOff,
    FaultKind::Stall,
    FaultKind::Clock,
];

/// Between the beginnings of two faults.
const PAUSE: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_millis(1000);
/// Some are over before anybody notices, some outlast a peer that is taken for dead.
const LASTS: RangeInclusive<Duration> = Duration::from_millis(20)..=Duration::from_millis(4000);
const STALL: RangeInclusive<Duration> = Duration::from_millis(5)..=Duration::from_millis(3000);
const SLOW: RangeInclusive<Duration> = Duration::from_millis(20)..=Duration::from_millis(500);
/// Less and more than clocks may be apart when nodes connect.
const CLOCK: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(600);

//! Which ways between nodes are open, and how long they take. Knows nothing of what travels there.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

/// A node, as the network knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(pub(super) usize);

/// One direction between two nodes.
#[derive(Debug, Clone)]
struct Route {
    way: Way,
    delay: RangeInclusive<Duration>,
    /// On top of it.
    slower: Duration,
}

/// Whether what is sent arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Open,
    /// What is sent waits, and arrives once the way is open: the system of the sender sends it again until then.
    Blocked,
}

impl Default for Route {
    fn default() -> Self {
        Self { way: Way::Open, delay: DELAY, slower: Duration::ZERO }
    }
}

/// All directions, of which those that nobody has changed are not kept.
#[derive(Debug, Default)]
pub(super) struct Routes {
    changed: BTreeMap<(Place, Place), Route>,
}

impl Routes {
    pub(super) fn way(&self, from: Place, to: Place) -> Way {
        self.changed.get(&(from, to)).map_or(Way::Open, |route| route.way)
    }

    pub(super) fn set_way(&mut self, from: Place, to: Place, way: Way) {
        self.changed.entry((from, to)).or_default().way = way;
    }

    pub(super) fn delay(&self, from: Place, to: Place) -> RangeInclusive<Duration> {
        match self.changed.get(&(from, to)) {
            Some(Route { delay, slower, .. }) => *delay.start() + *slower..=*delay.end() + *slower,
            None => DELAY,
        }
    }

    pub(super) fn set_delay(&mut self, from: Place, to: Place, delay: RangeInclusive<Duration>) {
        self.changed.entry((from, to)).or_default().delay = delay;
    }

    /// Slows a way down by so much, beside what its delay is.
    pub(super) fn slow(&mut self, from: Place, to: Place, slower: Duration) {
        self.changed.entry((from, to)).or_default().slower = slower;
    }

    pub(super) fn open_all(&mut self) {
        self.changed.values_mut().for_each(|route| route.way = Way::Open);
    }
}

/// As between the halls of one site, and uneven enough that what was sent later on another stream comes earlier.
const DELAY: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_millis(5);

//! The simulated network: the nodes on it, what travels between them, and the time. Knows no runtime; the nodes call it
//! while they run, the simulation between.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Waker};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fastrand::Rng;
use twox_hash::XxHash3_64;

use super::EPOCH;
use super::attempt::{Attempt, AttemptId, Dial};
use super::machine::Boot;
use super::routes::{Place, Routes};
use super::wire::Wire;

/// Shared by the simulation and all nodes, which run in turns on one thread. One lock, which nothing is woken under.
pub(super) struct Network {
    state: Mutex<State>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct WireId(pub(super) u64);

pub(super) struct State {
    pub(super) now: Duration,
    /// Of the node that runs just now.
    turn: Option<Turn>,
    pub(super) rng: Rng,
    pub(super) hosts: Vec<Host>,
    pub(super) routes: Routes,
    pub(super) wires: BTreeMap<WireId, Wire>,
    pub(super) attempts: BTreeMap<AttemptId, Attempt>,
    next_id: u64,
    digest: u64,
    /// To be woken when the lock is free.
    pub(super) wakes: Vec<Waker>,
}

/// What the system of a machine does for its node.
pub(super) struct Host {
    name: Arc<str>,
    pub(super) power: Power,
    /// Set apart from the right time.
    clock: Skew,
    pub(super) listening: Listening,
    /// Connections that its node has not taken in yet.
    pub(super) backlog: VecDeque<WireId>,
    pub(super) acceptor: Option<Waker>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Power {
    On,
    /// Nothing goes out, and what is sent to it arrives once it is on again.
    Off,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Skew {
    Ahead(Duration),
    Behind(Duration),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listening {
    Yes,
    No,
}

struct Turn {
    boot: Boot,
    output: Output,
}

/// Whether something has gone out in this turn.
enum Output {
    None(Option<Waker>),
    Some,
}

impl Network {
    pub(super) fn new(seed: u64) -> Self {
        let state = State {
            now: Duration::ZERO,
            turn: None,
            rng: Rng::with_seed(seed),
            hosts: Vec::new(),
            routes: Routes::default(),
            wires: BTreeMap::new(),
            attempts: BTreeMap::new(),
            next_id: 0,
            digest: seed,
            wakes: Vec::new(),
        };
        Self { state: Mutex::new(state) }
    }

    pub(super) fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let output = act(&mut state);
        let wakes = std::mem::take(&mut state.wakes);
        drop(state);
        wakes.into_iter().for_each(Waker::wake);
        output
    }

    pub(super) fn now(&self) -> Duration {
        self.with(|state| state.now)
    }

    /// A node has its turn.
    pub(super) fn enter(&self, boot: Boot) {
        self.with(|state| state.turn = Some(Turn { boot, output: Output::None(None) }));
    }

    pub(super) fn leave(&self) {
        self.with(|state| state.turn = None);
    }

    /// Whether something has gone out in this turn; if not, it will be told.
    pub(super) fn has_output(&self, cx: &Context<'_>) -> bool {
        self.with(|state| match &mut state.turn {
            Some(Turn { output: Output::None(waker), .. }) => {
                *waker = Some(cx.waker().clone());
                false
            }
            Some(Turn { output: Output::Some, .. }) | None => true,
        })
    }

    /// # Errors
    /// There is no node of this name.
    pub(super) fn dial(self: &Arc<Self>, from: Place, name: &str) -> io::Result<Dial> {
        let attempt = self.with(|state| {
            let to = state.place(name).ok_or_else(|| io::Error::other("the simulation has no node of this name"))?;
            Ok::<_, io::Error>(state.ask(from, to))
        });
        Ok(Dial { network: Arc::clone(self), attempt: attempt? })
    }
}

impl State {
    pub(super) fn add_host(&mut self, name: Arc<str>) -> Place {
        self.hosts.push(Host {
            name,
            power: Power::On,
            clock: Skew::Ahead(Duration::ZERO),
            listening: Listening::No,
            backlog: VecDeque::new(),
            acceptor: None,
        });
        Place(self.hosts.len() - 1)
    }

    pub(super) fn place(&self, name: &str) -> Option<Place> {
        self.hosts.iter().position(|host| *host.name == *name).map(Place)
    }

    pub(super) fn host(&mut self, place: Place) -> &mut Host {
        self.hosts.get_mut(place.0).expect("hosts are not removed")
    }

    pub(super) fn digest(&self) -> u64 {
        self.digest
    }

    /// A random number below `end`.
    pub(super) fn below(&mut self, end: usize) -> usize {
        self.rng.usize(0..end)
    }

    /// A random time, in whole ticks.
    pub(super) fn draw(&mut self, range: RangeInclusive<Duration>) -> Duration {
        let ticks = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let (least, most) = (ticks(*range.start()), ticks(*range.end()));
        Duration::from_millis(self.rng.u64(least..=most.max(least)))
    }

    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        self.rng.shuffle(items);
    }

    /// The time where it is asked for: a node that runs may be ahead of the simulation.
    pub(super) fn here(&self) -> Duration {
        self.turn.as_ref().map_or(self.now, |turn| turn.boot.now())
    }

    pub(super) fn time_of_day(&self, place: Place) -> SystemTime {
        let now = UNIX_EPOCH + EPOCH + self.here();
        match self.hosts.get(place.0).map(|host| host.clock) {
            Some(Skew::Ahead(skew)) => now + skew,
            Some(Skew::Behind(skew)) => now - skew,
            None => now,
        }
    }

    pub(super) fn set_time_of_day(&mut self, place: Place, time: SystemTime) {
        self.host(place).clock = match time.duration_since(UNIX_EPOCH + EPOCH + self.now) {
            Ok(ahead) => Skew::Ahead(ahead),
            Err(behind) => Skew::Behind(behind.duration()),
        };
    }

    pub(super) fn set_clock_right(&mut self, place: Place) {
        self.host(place).clock = Skew::Ahead(Duration::ZERO);
    }

    /// What has happened goes into the digest.
    pub(super) fn note(&mut self, what: Event, who: u64, how_much: usize) {
        let now = u64::try_from(self.here().as_nanos()).unwrap_or(u64::MAX);
        let words = [what as u64, now, who, u64::try_from(how_much).unwrap_or(u64::MAX)];
        let bytes: Vec<u8> = words.into_iter().flat_map(u64::to_le_bytes).collect();
        self.digest = XxHash3_64::oneshot_with_seed(self.digest, &bytes);
    }

    pub(super) fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Something goes out.
    pub(super) fn on_output(&mut self) {
        if let Some(turn) = &mut self.turn
            && let Output::None(waker) = std::mem::replace(&mut turn.output, Output::Some)
        {
            self.wakes.extend(waker);
        }
    }
}

/// For the digest.
#[derive(Debug, Clone, Copy)]
pub(super) enum Event {
    Asked,
    Answered,
    Written,
    Arrived,
    Read,
    Closed,
    Cut,
}

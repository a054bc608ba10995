//! What is to happen in one call, drawn before the simulation runs.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A call, as its caller and its handler are to carry it out. Sent along, so that the handler knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) number: usize,
    pub(crate) kind: Kind,
    pub(crate) caller: String,
    pub(crate) callee: String,
    pub(crate) begins: Begins,
    /// Whether the caller waits for a link first, for a while.
    pub(crate) waits: bool,
    /// In each direction that has any.
    pub(crate) items: usize,
    /// Of each item, or of the request.
    pub(crate) bytes: usize,
    /// Milliseconds between two items, on the side of the handler.
    pub(crate) item_takes: u64,
    /// The same on the side of the caller.
    pub(crate) reading_takes: u64,
    /// Milliseconds before the handler ends.
    pub(crate) handler_takes: u64,
    pub(crate) ends: Ends,
    /// In milliseconds.
    pub(crate) timeout: Option<u64>,
    pub(crate) gives_up: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    Single,
    Detached,
    Watch,
    Produce,
    Consume,
    Exchange,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Begins {
    /// Milliseconds after the start.
    After(u64),
    /// When all must be well again.
    WhenMended,
}

/// How the handler ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Ends {
    Answer,
    Error,
    Panic,
    /// Not of itself: the caller sees to that.
    Never,
}

impl Plan {
    /// A call that begins some time in this range of milliseconds.
    pub(crate) fn draw(number: usize, nodes: &[&str], guest: &str, begins: std::ops::Range<u64>) -> Self {
        let kind = one_of(&[Kind::Single, Kind::Detached, Kind::Watch, Kind::Produce, Kind::Consume, Kind::Exchange]);
        let caller = fastrand::usize(0..=nodes.len());
        // The guest has one node that it knows.
        let (caller, callee) = match nodes.get(caller) {
            Some(name) => (*name, nodes[(caller + fastrand::usize(1..nodes.len())) % nodes.len()]),
            None => (guest, nodes[0]),
        };
        let ends = match kind {
            Kind::Detached => one_of(&[Ends::Answer, Ends::Answer, Ends::Error, Ends::Panic]),
            _ => one_of(&[Ends::Answer, Ends::Answer, Ends::Answer, Ends::Error, Ends::Panic, Ends::Never]),
        };
        let mut plan = Self {
            number,
            kind,
            caller: caller.into(),
            callee: callee.into(),
            begins: Begins::After(fastrand::u64(begins)),
            waits: fastrand::u8(0..4) > 0,
            items: fastrand::usize(0..one_of(&[2, 10, 40])),
            bytes: fastrand::usize(0..one_of(&[10, 10, 100, 100, 1_000, 5_000, 30_000])),
            item_takes: one_of(&[0, 0, 0, 1, 30]),
            reading_takes: one_of(&[0, 0, 0, 1, 20]),
            handler_takes: one_of(&[0, 0, 1, fastrand::u64(0..400)]),
            ends,
            timeout: fastrand::bool().then(|| fastrand::u64(1..2_000)),
            gives_up: (fastrand::u8(0..4) == 0).then(|| fastrand::u64(0..800)),
        };
        if plan.bytes > 10_000 {
            plan.items %= 12;
        }
        if plan.ends == Ends::Never && plan.timeout.is_none() {
            plan.gives_up = plan.gives_up.or(Some(700));
        }
        plan
    }

    /// A call that has to succeed.
    pub(crate) fn proof(number: usize, kind: Kind, caller: &str, callee: &str) -> Self {
        Self {
            number,
            kind,
            caller: caller.into(),
            callee: callee.into(),
            begins: Begins::WhenMended,
            waits: false,
            items: 5,
            bytes: 50,
            item_takes: 0,
            reading_takes: 0,
            handler_takes: 1,
            ends: Ends::Answer,
            timeout: None,
            gives_up: None,
        }
    }

    /// The subroute under which it is called.
    pub(crate) fn subroute(&self) -> Option<&'static str> {
        self.number.is_multiple_of(3).then_some(ANNEX)
    }

    /// Whether its handler calls the caller back, over the same connection.
    pub(crate) fn calls_back(&self) -> bool {
        self.kind == Kind::Single && self.number % 2 == 1
    }

    /// The time that the call has, by its plan.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        self.timeout.map(Duration::from_millis)
    }

    pub(crate) fn item(&self, seq: usize) -> Item {
        Item { number: self.number, seq, body: self.body() }
    }

    pub(crate) fn body(&self) -> String {
        "x".repeat(self.bytes)
    }

    /// # Panics
    /// This is not the item that comes next in this call.
    pub(crate) fn check(&self, seq: usize, item: &Item) {
        let is = (item.number, item.seq, item.body.len());
        assert_eq!(is, (self.number, seq, self.bytes), "the items of a call come in order and are its own: {self:?}");
        assert!(seq < self.items, "no item is invented: {self:?}");
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Item {
    pub(crate) number: usize,
    pub(crate) seq: usize,
    pub(crate) body: String,
}

/// Where the service is served a second time.
pub(crate) const ANNEX: &str = "annex";

fn one_of<T: Copy>(choices: &[T]) -> T {
    choices[fastrand::usize(0..choices.len())]
}

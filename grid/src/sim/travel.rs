//! What the simulation does between the turns of the nodes: what was sent arrives, and faults happen.

use std::time::Duration;

use super::TICK;
use super::attempt::{Answer as Answered, AttemptId, Stage};
use super::network::{Event, Listening, Power, State, WireId};
use super::pipe::Segment;
use super::routes::{Place, Way};
use super::wire::{Answer, Side, Wire};

impl State {
    pub(super) fn set_now(&mut self, now: Duration) {
        self.now = now;
    }

    pub(super) fn power(&self, place: Place) -> Power {
        self.hosts.get(place.0).map_or(Power::Off, |host| host.power)
    }

    pub(super) fn set_power(&mut self, place: Place, power: Power) {
        self.host(place).power = power;
        if power == Power::On {
            return;
        }
        // What did not get through is not sent again.
        let Self { wires, routes, .. } = self;
        for wire in wires.values_mut() {
            for side in Side::BOTH {
                let (near, far) = wire.ends(side);
                if near.place == place && routes.way(place, far.place) == Way::Blocked {
                    near.out.lose_flight();
                }
            }
        }
    }

    /// Resets all connections between two nodes.
    pub(super) fn cut(&mut self, a: Place, b: Place) {
        for wire in self.wires.values_mut().filter(|wire| wire.is_between(a, b)) {
            for side in Side::BOTH {
                self.wakes.extend(wire.reset(side));
            }
        }
        self.note(Event::Cut, 0, a.0 + b.0);
    }

    fn arrives(&self, from: Place, to: Place) -> bool {
        self.routes.way(from, to) == Way::Open && self.power(to) == Power::On
    }

    /// All that is due arrives. Gives when the next is due.
    pub(super) fn arrive(&mut self) -> Option<Duration> {
        let wires: Vec<_> = self.wires.keys().copied().collect();
        for id in wires {
            for side in Side::BOTH {
                while let Some(segment) = self.pop_due(id, side) {
                    self.on_segment(id, side, &segment);
                }
            }
        }
        let attempts: Vec<_> = self.attempts.keys().copied().collect();
        for id in attempts {
            self.on_attempt(id);
        }
        self.next_due()
    }

    fn pop_due(&mut self, id: WireId, side: Side) -> Option<Segment> {
        let wire = self.wires.get(&id)?;
        if !self.arrives(wire.end(side).place, wire.end(side.other()).place) {
            return None;
        }
        self.wires.get_mut(&id)?.ends(side).0.out.pop_due(self.now)
    }

    fn on_segment(&mut self, id: WireId, side: Side, segment: &Segment) {
        let Some(wire) = self.wires.get_mut(&id) else { return };
        let (wakes, answer) = wire.on_segment(side, segment);
        self.wakes.extend(wakes);
        let (near, far) = wire.ends(side);
        let back = (far.place, near.place);
        if answer == Answer::Reset {
            far.out.lose_flight();
            self.send(id, side.other(), back, Segment::Reset);
        }
        let bytes = if let Segment::Bytes(bytes) = segment { bytes.len() } else { 0 };
        self.note(Event::Arrived, id.0, bytes);
    }

    /// A step of an attempt to connect, if one is due.
    fn on_attempt(&mut self, id: AttemptId) {
        let Some(attempt) = self.attempts.get(&id) else { return };
        let Some((from, to)) = attempt.travels() else { return };
        if attempt.due > self.now || !self.arrives(from, to) {
            return;
        }
        let stage = match attempt.stage {
            Stage::Asking => match self.answer(from, to) {
                Some(answer) => Stage::Answering(answer),
                None => return,
            },
            Stage::Answering(answer) | Stage::Answered(answer) => Stage::Answered(answer),
        };
        let delay = self.routes.delay(to, from);
        let due = self.now + self.draw(delay);
        if let Some(attempt) = self.attempts.get_mut(&id) {
            (attempt.stage, attempt.due) = (stage, due);
            if matches!(stage, Stage::Answered(_)) {
                self.wakes.extend(attempt.waker.take());
            }
        }
        self.note(Event::Answered, id.0, to.0);
    }

    /// What the system of a node answers to one who wants to connect. Nothing if too many wait already: it will be
    /// asked again.
    fn answer(&mut self, from: Place, to: Place) -> Option<Answered> {
        let wire = WireId(self.id());
        let host = self.host(to);
        if host.listening == Listening::No {
            return Some(Answered::Refused);
        }
        if host.backlog.len() >= BACKLOG_MAX {
            return None;
        }
        host.backlog.push_back(wire);
        let acceptor = host.acceptor.take();
        self.wakes.extend(acceptor);
        self.wires.insert(wire, Wire::new(from, to));
        Some(Answered::Connected(wire))
    }

    fn next_due(&self) -> Option<Duration> {
        let segments = self.wires.values().flat_map(|wire| {
            Side::BOTH.into_iter().filter_map(|side| {
                let (near, far) = (wire.end(side), wire.end(side.other()));
                near.out.next_due().filter(|_| self.arrives(near.place, far.place))
            })
        });
        let attempts = self.attempts.values().filter_map(|attempt| {
            let (from, to) = attempt.travels()?;
            self.arrives(from, to).then_some(attempt.due)
        });
        segments.chain(attempts).min().map(|due| due.max(self.now + TICK))
    }
}

/// Connections that the system of a node takes in before its node does, as Linux has it by default for small services.
const BACKLOG_MAX: usize = 128;

//! A simulated byte stream between two nodes: two ends, two pipes. Knows neither time nor faults.

use std::task::Waker;

use super::pipe::{Ended, Pipe, Segment};
use super::routes::Place;

/// The end that dialled is the first, the one that was dialled the second. The pipe of an end is the one that it writes to.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) dialler: End,
    pub(super) dialled: End,
}

#[derive(Debug)]
pub(super) struct End {
    pub(super) place: Place,
    pub(super) state: EndState,
    pub(super) out: Pipe,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EndState {
    Open,
    /// The node still holds it, and it is of no use.
    Reset,
    /// The node holds it no more.
    Closed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Dialler,
    Dialled,
}

impl Side {
    pub(super) const BOTH: [Self; 2] = [Self::Dialler, Self::Dialled];

    pub(super) fn other(self) -> Self {
        match self {
            Self::Dialler => Self::Dialled,
            Self::Dialled => Self::Dialler,
        }
    }
}

impl Wire {
    pub(super) fn new(from: Place, to: Place) -> Self {
        let end = |place| End { place, state: EndState::Open, out: Pipe::default() };
        Self { dialler: end(from), dialled: end(to) }
    }

    /// The end of this side, and the other one.
    pub(super) fn ends(&mut self, side: Side) -> (&mut End, &mut End) {
        match side {
            Side::Dialler => (&mut self.dialler, &mut self.dialled),
            Side::Dialled => (&mut self.dialled, &mut self.dialler),
        }
    }

    pub(super) fn end(&self, side: Side) -> &End {
        match side {
            Side::Dialler => &self.dialler,
            Side::Dialled => &self.dialled,
        }
    }

    pub(super) fn is_between(&self, a: Place, b: Place) -> bool {
        let places = [self.dialler.place, self.dialled.place];
        places == [a, b] || places == [b, a]
    }

    pub(super) fn is_closed(&self) -> bool {
        self.dialler.state == EndState::Closed && self.dialled.state == EndState::Closed
    }

    /// Something that the end of this side has sent arrives at the other. Gives whom to wake, and whether the other end
    /// answers with a reset, as bytes have come that nobody will read.
    pub(super) fn on_segment(&mut self, side: Side, segment: &Segment) -> (Vec<Waker>, Answer) {
        let (near, far) = self.ends(side);
        match (segment, far.state) {
            (Segment::Bytes(_), EndState::Closed | EndState::Reset) => {
                near.out.lose_flight();
                return (Vec::new(), Answer::Reset);
            }
            (Segment::Bytes(bytes), EndState::Open) => near.out.on_bytes(bytes),
            (Segment::End, _) => near.out.ended = Ended::Yes,
            (Segment::Reset, _) => return (self.reset(side.other()), Answer::Nothing),
        }
        (near.out.reader.take().into_iter().collect(), Answer::Nothing)
    }

    /// The end of this side is of no use from now on. Gives whom to wake.
    pub(super) fn reset(&mut self, side: Side) -> Vec<Waker> {
        let (near, far) = self.ends(side);
        if near.state == EndState::Open {
            near.state = EndState::Reset;
        }
        near.out.lose_flight();
        far.out.lose_all();
        [near.out.writer.take(), far.out.reader.take()].into_iter().flatten().collect()
    }
}

/// What the system of a node answers of its own accord.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Nothing,
    Reset,
}

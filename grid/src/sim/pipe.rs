//! One direction of a simulated byte stream: what is under way, and what has arrived and waits to be read. Knows neither the
//! nodes at its ends nor faults.

use std::collections::VecDeque;
use std::task::Waker;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

/// What travels, in order.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Segment {
    Bytes(Bytes),
    /// Nothing follows.
    End,
    /// Nothing follows, and what was not read yet is lost.
    Reset,
}

#[derive(Debug, Default)]
pub(super) struct Pipe {
    /// With the time at which each arrives, if the way is open then.
    flight: VecDeque<(Duration, Segment)>,
    flight_bytes: usize,
    arrived: BytesMut,
    pub(super) written: Written,
    pub(super) ended: Ended,
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,
}

/// What the writing end has said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Written {
    #[default]
    Open,
    All,
}

/// What the reading end knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Ended {
    #[default]
    NotYet,
    /// Nothing follows what has arrived.
    Yes,
}

impl Pipe {
    /// Bytes that may still be written before some are read.
    pub(super) fn room(&self) -> usize {
        PIPE_BYTES.saturating_sub(self.flight_bytes + self.arrived.len())
    }

    /// Nothing overtakes what was sent before it.
    pub(super) fn send(&mut self, due: Duration, segment: Segment) {
        if let Segment::Bytes(bytes) = &segment {
            self.flight_bytes += bytes.len();
        }
        let before = self.flight.back().map_or(Duration::ZERO, |(due, _)| *due);
        self.flight.push_back((due.max(before), segment));
    }

    pub(super) fn next_due(&self) -> Option<Duration> {
        self.flight.front().map(|(due, _)| *due)
    }

    pub(super) fn pop_due(&mut self, now: Duration) -> Option<Segment> {
        let (_, segment) = self.flight.pop_front_if(|(due, _)| *due <= now)?;
        if let Segment::Bytes(bytes) = &segment {
            self.flight_bytes -= bytes.len();
        }
        Some(segment)
    }

    pub(super) fn on_bytes(&mut self, bytes: &[u8]) {
        self.arrived.extend_from_slice(bytes);
    }

    pub(super) fn unread(&self) -> usize {
        self.arrived.len()
    }

    /// At most so many bytes, of those that have arrived.
    pub(super) fn read(&mut self, bytes_max: usize) -> BytesMut {
        self.arrived.split_to(self.arrived.len().min(bytes_max))
    }

    /// What is under way does not arrive.
    pub(super) fn lose_flight(&mut self) {
        self.flight.clear();
        self.flight_bytes = 0;
    }

    /// Nothing that was sent is read any more.
    pub(super) fn lose_all(&mut self) {
        self.lose_flight();
        self.arrived.clear();
    }
}

/// What fits into one direction: the buffers of two sockets.
const PIPE_BYTES: usize = 64 << 10;

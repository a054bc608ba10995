//! What the system of a simulated machine does for its node: sockets, while the node runs.

use std::io;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::attempt::{Answer, Attempt, AttemptId, Stage};
use super::network::{Event, Listening, Power, State, WireId};
use super::pipe::{Ended, Segment, Written};
use super::routes::Place;
use super::wire::{EndState, Side, Wire};

impl State {
    pub(super) fn listen(&mut self, place: Place) -> io::Result<()> {
        let host = self.host(place);
        if host.listening == Listening::Yes {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        host.listening = Listening::Yes;
        Ok(())
    }

    pub(super) fn stop_listening(&mut self, place: Place) {
        let host = self.host(place);
        host.listening = Listening::No;
        for wire in std::mem::take(&mut host.backlog) {
            self.close(wire, Side::Dialled);
        }
    }

    pub(super) fn poll_accept(&mut self, place: Place, cx: &Context<'_>) -> Poll<WireId> {
        let host = self.host(place);
        match host.backlog.pop_front() {
            Some(wire) => Poll::Ready(wire),
            None => {
                host.acceptor = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    pub(super) fn ask(&mut self, from: Place, to: Place) -> AttemptId {
        self.on_output();
        let id = AttemptId(self.id());
        let delay = self.routes.delay(from, to);
        let due = self.here() + self.draw(delay);
        self.attempts.insert(id, Attempt { from, to, due, stage: Stage::Asking, waker: None });
        self.note(Event::Asked, id.0, to.0);
        id
    }

    pub(super) fn poll_answer(&mut self, id: AttemptId, cx: &Context<'_>) -> Poll<Answer> {
        let attempt = self.attempts.get_mut(&id).expect("an attempt is kept until it is answered or given up");
        match attempt.stage {
            Stage::Answered(answer) => {
                self.attempts.remove(&id);
                Poll::Ready(answer)
            }
            Stage::Asking | Stage::Answering(_) => {
                attempt.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// The system of the one who asked closes what nobody there waits for any more.
    pub(super) fn give_up(&mut self, id: AttemptId) {
        if let Some(Attempt { stage, .. }) = self.attempts.remove(&id)
            && let Stage::Answering(Answer::Connected(wire)) | Stage::Answered(Answer::Connected(wire)) = stage
        {
            self.close(wire, Side::Dialler);
        }
    }

    pub(super) fn poll_read(
        &mut self,
        id: WireId,
        side: Side,
        cx: &Context<'_>,
        bytes_max: usize,
    ) -> Poll<io::Result<Bytes>> {
        let is_piece = self.is_piece();
        let Some(wire) = self.wires.get_mut(&id) else { return Poll::Ready(Err(io::ErrorKind::NotConnected.into())) };
        let (near, far) = wire.ends(side);
        if near.state != EndState::Open {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let there = far.out.unread().min(bytes_max);
        if there == 0 && far.out.ended == Ended::NotYet && bytes_max > 0 {
            far.out.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let some = if is_piece && there > 1 { self.rng.usize(1..=there) } else { there };
        let bytes = far.out.read(some);
        self.wakes.extend(far.out.writer.take());
        self.note(Event::Read, id.0, bytes.len());
        Poll::Ready(Ok(bytes.freeze()))
    }

    pub(super) fn poll_write(
        &mut self,
        id: WireId,
        side: Side,
        cx: &Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let (is_piece, in_parts) = (self.is_piece(), self.is_piece());
        let Some(wire) = self.wires.get_mut(&id) else { return Poll::Ready(Err(io::ErrorKind::NotConnected.into())) };
        let (near, far) = wire.ends(side);
        if near.state != EndState::Open || near.out.written == Written::All {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = near.out.room().min(bytes.len());
        if room == 0 && !bytes.is_empty() {
            near.out.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let (from, to) = (near.place, far.place);
        let taken = if is_piece && room > 1 { self.rng.usize(1..=room) } else { room };
        let first = if in_parts && taken > 1 { self.rng.usize(1..taken) } else { taken };
        let (first, rest) = bytes.get(..taken).unwrap_or_default().split_at(first);
        for part in [first, rest].into_iter().filter(|part| !part.is_empty()) {
            self.send(id, side, (from, to), Segment::Bytes(Bytes::copy_from_slice(part)));
        }
        self.note(Event::Written, id.0, taken);
        Poll::Ready(Ok(taken))
    }

    pub(super) fn shut(&mut self, id: WireId, side: Side) -> io::Result<()> {
        let Some(wire) = self.wires.get_mut(&id) else { return Err(io::ErrorKind::NotConnected.into()) };
        let (near, far) = wire.ends(side);
        if near.state != EndState::Open {
            return Err(io::ErrorKind::NotConnected.into());
        }
        let route = (near.place, far.place);
        if std::mem::replace(&mut near.out.written, Written::All) == Written::Open {
            self.send(id, side, route, Segment::End);
        }
        Ok(())
    }

    /// The node holds this end no more: the system tells the other one, unless it is off.
    pub(super) fn close(&mut self, id: WireId, side: Side) {
        let Some(wire) = self.wires.get_mut(&id) else { return };
        let (near, far) = wire.ends(side);
        let before = std::mem::replace(&mut near.state, EndState::Closed);
        if before == EndState::Closed {
            return;
        }
        let unread = far.out.unread();
        let written = std::mem::replace(&mut near.out.written, Written::All);
        let route = (near.place, far.place);
        if before == EndState::Open && self.power(route.0) == Power::On {
            if unread > 0 {
                self.send(id, side, route, Segment::Reset);
            } else if written == Written::Open {
                self.send(id, side, route, Segment::End);
            }
        }
        if self.wires.get(&id).is_some_and(Wire::is_closed) {
            self.wires.remove(&id);
        }
        self.note(Event::Closed, id.0, unread);
    }

    /// The program has ended, with all that it had. In an order of its own: tokio drops tasks in another one each time.
    pub(super) fn close_all(&mut self, place: Place) {
        self.attempts.retain(|_, attempt| attempt.from != place);
        let wires: Vec<_> = self.wires.keys().copied().collect();
        for id in wires {
            for side in Side::BOTH {
                if self.wires.get(&id).is_some_and(|wire| wire.end(side).place == place) {
                    self.close(id, side);
                }
            }
        }
    }

    pub(super) fn send(&mut self, id: WireId, side: Side, (from, to): (Place, Place), segment: Segment) {
        self.on_output();
        let delay = self.routes.delay(from, to);
        let due = self.here() + self.draw(delay);
        if let Some(wire) = self.wires.get_mut(&id) {
            wire.ends(side).0.out.send(due, segment);
        }
    }

    /// Whether what is read or written at once is cut in two.
    fn is_piece(&mut self) -> bool {
        self.rng.u8(0..PIECES) == 0
    }
}

/// Of so many reads or writes one is cut in two.
const PIECES: u8 = 8;

//! What a link does with each frame that comes in.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::hits::{Limit, exceeded};
use super::link::Link;
use super::message::Message;
use super::node::Mesh;
use super::peer::Peer;
use super::serve::serve;
use super::serve_stream;
use super::table::Met;
use super::wakes::Wakes;
use crate::error::LinkError;
use crate::proto::Liveness;
use crate::wire::{Capabilities, DecodeError, Flags, Frame, Header, Op, PayloadBuf, Ping, Pong, Trailer, elements};

/// Takes the frames of one link to the calls and handlers they are for. Runs in the driver, and waits for nothing.
#[derive(Debug)]
pub(crate) struct Dispatcher {
    pub(crate) link: Arc<Link>,
    pub(crate) peer: Arc<Peer>,
    pub(crate) mesh: Arc<Mesh>,
    pub(crate) liveness: Liveness,
    pub(crate) turn: Turn,
    pub(crate) wakes: Wakes,
}

/// What was done since the driver was last polled.
#[derive(Debug)]
pub(crate) struct Turn {
    messages: usize,
    /// When its first message was read.
    start: Instant,
    /// When the message at hand was read, or the last handler of it that ran in the driver had run: so that a call costs one
    /// look at the clock.
    now: Instant,
}

impl Default for Turn {
    fn default() -> Self {
        let now = Instant::now();
        Self { messages: 0, start: now, now }
    }
}

impl Turn {
    pub(crate) fn now(&self) -> Instant {
        self.now
    }

    fn on_message(&mut self, now: Instant) {
        if self.messages == 0 {
            self.start = now;
        }
        self.messages += 1;
        self.now = now;
    }

    /// A handler has run in the driver until now.
    pub(crate) fn on_handled(&mut self, now: Instant) {
        self.now = now;
    }
}

impl Dispatcher {
    pub(crate) fn begin_turn(&mut self) {
        self.turn.messages = 0;
    }

    /// Writing is to have its turn, and other tasks.
    pub(crate) fn is_turn_over(&self) -> bool {
        let Turn { messages, start, now } = self.turn;
        messages >= MESSAGES_PER_TURN || (messages > 0 && now.saturating_duration_since(start) >= TURN)
    }

    /// Something was read, and no message is whole: who waits for those before it need not wait for the rest of a large one.
    pub(crate) fn on_nothing(&mut self) {
        self.turn.on_message(Instant::now());
        self.wakes.wake();
    }

    /// One message: a frame, or a merge of frames.
    ///
    /// # Errors
    /// What is not a frame ends the link. The elements of a merge before a bad one are handled.
    pub(crate) fn on_message(&mut self, message: &Message) -> Result<(), LinkError> {
        self.turn.on_message(Instant::now());
        let frame = self.decode(message.bytes())?;
        if frame.head.op != Op::Merged {
            self.on_frame(frame, message);
            return Ok(());
        }
        let frames_max = self.peer.shared.settings.limits.merge_frames_max;
        if usize::try_from(frame.head.seq).is_ok_and(|frames| frames > frames_max) {
            return Err(exceeded(Limit::MergeFrames, frames_max));
        }
        for element in elements(&frame) {
            if self.link.end().is_some() {
                return Ok(());
            }
            let frame = self.decode(element.map_err(violation)?)?;
            self.on_frame(frame, message);
        }
        Ok(())
    }

    fn decode<'a>(&self, bytes: &'a [u8]) -> Result<Frame<'a>, LinkError> {
        let metadata_bytes_max = self.peer.shared.settings.limits.metadata_bytes_max;
        Frame::decode_within(bytes, self.link.capabilities, metadata_bytes_max).map_err(violation)
    }

    fn on_frame(&mut self, frame: Frame<'_>, message: &Message) {
        tracing::trace!(target: "grid::frame", op = ?frame.head.op, mux = frame.head.mux, seq = frame.head.seq, bytes = frame.payload.len());
        match frame.head.op {
            Op::Request | Op::ConnectMux => serve(self, frame, message),
            Op::Ping if frame.head.mux == 0 => self.on_ping(&frame),
            Op::Pong if frame.head.mux == 0 => self.on_pong(&frame),
            Op::Response
            | Op::MuxServerMsg
            | Op::MuxConnectError
            | Op::DisconnectClientMux
            | Op::AckMux
            | Op::UnblockClMux
            | Op::Pong => {
                let Self { link, wakes, .. } = self;
                if let Met::Broken(stream) = link.table.on_frame(&frame, message, link.capabilities, wakes) {
                    stream.send_disconnect(&self.link);
                }
            }
            Op::MuxClientMsg | Op::UnblockSrvMux | Op::DisconnectServerMux | Op::Ping => {
                serve_stream::on_frame(&self.link, &frame, message, &mut self.wakes);
            }
            Op::Disconnect if self.link.capabilities.contains(Capabilities::DRAIN) => self.on_leaving(&frame),
            Op::Disconnect | Op::Connect | Op::ConnectResponse | Op::Merged | Op::Unknown(_) => {
                tracing::debug!(target: "grid::frame", op = ?frame.head.op, "ignored");
            }
        }
    }

    /// A ping of the link.
    fn on_ping(&self, frame: &Frame<'_>) {
        let Ok(ping) = Ping::decode(frame.payload) else {
            tracing::debug!(target: "grid::frame", "unreadable ping");
            return;
        };
        let mut payload = PayloadBuf::new();
        Pong { time: ping.time, ..Pong::default() }.put(payload.writer());
        let flags = frame.head.flags.without(Flags::CRC) | self.link.crc;
        let header = Header { op: Op::Pong, flags, ..frame.head };
        self.link.send_beat(payload.seal(header, &Trailer::default(), None));
    }

    fn on_pong(&mut self, frame: &Frame<'_>) {
        match Pong::decode(frame.payload) {
            Ok(pong) => {
                if let Some(trip) = self.liveness.on_pong(&pong, Instant::now().into_std()) {
                    self.link.counts.on_ping(trip);
                }
            }
            Err(error) => tracing::debug!(target: "grid::frame", %error, "unreadable pong"),
        }
    }

    fn on_leaving(&self, frame: &Frame<'_>) {
        self.link.on_leaving(frame.payload);
        self.peer.on_leaving(&self.link);
    }
}

/// Messages that are dispatched before writing has its turn.
const MESSAGES_PER_TURN: usize = 64;
/// Time likewise, looked at with each message and each handler that runs in the driver: what other tasks of the thread wait,
/// and the answer to the first call of a turn.
const TURN: Duration = Duration::from_micros(100);

fn violation(error: DecodeError) -> LinkError {
    LinkError::Protocol(error.to_string().into())
}

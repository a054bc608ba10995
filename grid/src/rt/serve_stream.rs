//! Serving the streams of the peer: their opening, their frames, their ends.

use tokio::time::{Instant, timeout_at};

use super::ended::Ended;
use super::lane::Lane;
use super::link::Link;
use super::message::Message;
use super::node::Settings;
use super::opening::Opening;
use super::running::Admission;
use super::stream::{DEADLINE_GRACE, Stream, Verdict};
use super::stream_out::StreamEnded;
use super::wakes::Wakes;
use crate::proto::{Moved, PulseBeat, Reply, ServerCall};
use crate::windows::Windows;
use crate::wire::{Capabilities, Flags, Frame, Header, Op, PayloadBuf, Pong, RefusalReason, Trailer};

/// What a stream begins with that a frame opens, for a handler with these windows.
pub(super) fn opening(
    link: &Link,
    call: &ServerCall,
    windows: Windows,
    credits: Option<u32>,
    deadline: Option<Instant>,
) -> Opening {
    // A v1 peer says the same, and v1 goes by what the handler is.
    let no_items = call.is_eof() && link.capabilities.contains(Capabilities::CREDITS);
    let windows = if no_items { Windows { inbound: 0, ..windows } } else { windows };
    let granted = Opening::granted(link, windows.inbound);
    Opening { windows, granted, credits, next_seq: call.seq().wrapping_add(1), deadline }
}

/// When the caller of a stream is told that it is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Acknowledged {
    AtOnce,
    /// When the middleware has let the call pass.
    OncePassed,
}

impl Acknowledged {
    /// A v1 peer counts on the acknowledgement to be the first that it hears of a call.
    pub(super) fn of(link: &Link, settings: &Settings) -> Self {
        match settings.middleware.is_empty() || !link.capabilities.contains(Capabilities::CREDITS) {
            true => Self::AtOnce,
            false => Self::OncePassed,
        }
    }
}

/// The handler of a stream has ended: its reply becomes the end of the call, if the caller is still there.
pub(super) async fn finish(link: &Link, stream: &Stream, reply: Reply, admission: &mut Admission) {
    let ended = stream.end_with(link, reply, || admission.free_place());
    let ended = match stream.deadline {
        None => Ok(ended.await),
        Some(deadline) => timeout_at(deadline, ended).await,
    };
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(StreamEnded)) => {
            tracing::debug!(target: "grid::call", "nobody waits for the end of the stream any more");
        }
        Err(_) => tell_expired(link, stream),
    }
}

/// The deadline has passed before the end could be told.
pub(super) fn tell_expired(link: &Link, stream: &Stream) {
    // First: an item that comes once the stream is closed seems to be one too many, and must not be told so.
    stream.abandon(link);
    stream.close(Ended::Deadline);
}

/// A frame for a stream that runs here, other than the one that opened it.
pub(super) fn on_frame(link: &Link, frame: &Frame<'_>, message: &Message, wakes: &mut Wakes) {
    let mux = frame.head.mux;
    let Some(stream) = link.running.stream(mux).filter(|stream| !stream.is_over()) else {
        return on_unknown(link, frame);
    };
    match stream.on_frame(frame, message, link.capabilities, wakes) {
        Verdict::GoesOn | Verdict::Ended | Verdict::Tell => {}
        Verdict::Ping => stream.pong(link, &frame.head, None),
        Verdict::Cancelled => give_up(link, &stream),
        Verdict::Refuse(reason, text) => {
            if frame.head.op == Op::Ping {
                stream.pong(link, &frame.head, Some(&text));
            }
            refuse(link, &stream, reason, &text);
        }
    }
}

/// Ends a stream of the peer, and drops its handler.
pub(crate) fn refuse(link: &Link, stream: &Stream, reason: RefusalReason, text: &str) {
    tracing::debug!(target: "grid::call", mux = stream.mux, text, "a stream broke the rules");
    stream.refuse(link, reason, text);
    stream.close(Ended::Cancelled);
    link.running.cancel(stream.mux);
}

/// The caller is gone. A v1 peer is answered as one of its own would.
fn give_up(link: &Link, stream: &Stream) {
    // A caller gives up at its deadline too, and which of the two ends acts first is a matter of luck.
    let late = stream.deadline.is_some_and(|deadline| deadline <= Instant::now() + DEADLINE_GRACE);
    stream.close(if late { Ended::Deadline } else { Ended::Cancelled });
    link.running.cancel(stream.mux);
    if !link.capabilities.contains(Capabilities::CREDITS) {
        stream.send_disconnect(link);
    }
}

/// A frame for a call that is no stream, or that has ended.
fn on_unknown(link: &Link, frame: &Frame<'_>) {
    // Its last items and its end may still wait to be written. Told before them, the caller would take it for lost.
    let behind = Lane::Bulk { mux: frame.head.mux };
    match frame.head.op {
        Op::DisconnectServerMux => link.running.cancel(frame.head.mux),
        // v1 answers so for each call that it does not know. A grid node was told of the end, and has many items on their
        // way then.
        Op::MuxClientMsg if !link.capabilities.contains(Capabilities::CREDITS) => {
            let header = Header::new(Op::DisconnectClientMux, frame.head.mux, link.crc);
            link.send_control(PayloadBuf::with_capacity(0).seal(header, &Trailer::default(), None), behind);
        }
        Op::Ping => {
            let mut payload = PayloadBuf::new();
            Pong { not_found: true, ..Pong::default() }.put(payload.writer());
            let flags = frame.head.flags.without(Flags::CRC) | link.crc;
            let header = Header { op: Op::Pong, flags, ..frame.head };
            link.send_control(payload.seal(header, &Trailer::default(), None), behind);
        }
        _ => {}
    }
}

/// Pings what is to be pinged, and ends what has gone silent on either side.
/// `moved` tells whether anything came on the link since the tick before.
pub(super) fn on_tick(link: &Link, now: std::time::Instant, moved: Moved) {
    for stream in link.table.streams() {
        if stream.on_tick(link, now, moved) == PulseBeat::Dead {
            stream.cancel(link, Ended::silent());
        }
    }
    for stream in link.running.streams() {
        if !stream.is_over() && stream.on_tick(link, now, moved) == PulseBeat::Dead {
            tracing::debug!(target: "grid::call", mux = stream.mux, "the caller of a stream has gone silent");
            stream.close(Ended::Cancelled);
            link.running.cancel(stream.mux);
            stream.send_disconnect(link);
        }
    }
}

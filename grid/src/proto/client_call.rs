//! A single request, seen from the side that made it.

use crate::wire::{Capabilities, Flags, Frame, Header, MuxConnectError, Op, RefusalReason};

/// What a remote made of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome<'a> {
    /// The handler's answer.
    Answer(&'a [u8]),
    /// The handler's error.
    Error(&'a [u8]),
    /// The remote did not run the call, or could not answer it.
    Refused(RefusalReason, &'a [u8]),
    /// The remote broke the protocol within this call.
    Violation(&'static str),
}

/// What a frame with the id of a single request means to it, other than those that only a server gets. `None`: the call
/// goes on.
///
/// ```text
///               an answer, an error, a refusal
///   Waiting ------------------------------------> Ended
///      |                                            ^
///      +--------------------------------------------+
///        a lost link, a passed deadline, a dropped caller
/// ```
///
/// Whoever drives the call makes sure that only one of these gets to end it, by holding it in one place and taking it out
/// at its end.
pub(crate) fn outcome<'a>(frame: &Frame<'a>) -> Option<Outcome<'a>> {
    let refusal = frame.trailer.as_ref().and_then(|trailer| trailer.refusal);
    Some(match frame.head.op {
        Op::Response | Op::MuxServerMsg if frame.head.seq != 0 => Outcome::Violation("out-of-sequence item received"),
        Op::Response | Op::MuxServerMsg if frame.head.flags.contains(Flags::ERROR) => match refusal {
            Some(reason) => Outcome::Refused(reason, frame.payload),
            None => Outcome::Error(frame.payload),
        },
        Op::Response | Op::MuxServerMsg => Outcome::Answer(frame.payload),
        // An acknowledgement means something to streams only.
        _ => return refused(frame),
    })
}

/// The frame that tells the remote to drop a single request that it may have got. A v1 peer runs it to its end whatever
/// comes, so it is not told.
pub(crate) fn cancellation(mux: u64, peer: Capabilities, crc: Flags) -> Option<Header> {
    peer.contains(Capabilities::CANCEL).then(|| Header::new(Op::DisconnectServerMux, mux, crc))
}

/// What the remote says when it does not run a call, or drops it.
pub(super) fn refused<'a>(frame: &Frame<'a>) -> Option<Outcome<'a>> {
    match frame.head.op {
        Op::MuxConnectError => {
            let reason = frame.trailer.as_ref().and_then(|trailer| trailer.refusal);
            let text = MuxConnectError::decode(frame.payload).map_or("an unreadable refusal", |body| body.error);
            Some(Outcome::Refused(reason.unwrap_or(RefusalReason::Unspecified), text.as_bytes()))
        }
        Op::DisconnectClientMux if frame.head.flags.contains(Flags::ERROR) => {
            Some(Outcome::Refused(RefusalReason::Unspecified, frame.payload))
        }
        Op::DisconnectClientMux => Some(Outcome::Refused(RefusalReason::Unspecified, b"remote disconnected")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Trailer;

    fn frame(op: Op, flags: Flags, payload: &[u8]) -> Frame<'_> {
        Frame { head: Header::new(op, 9, flags), payload, rest: &[], subroute: None, trailer: None }
    }

    #[test]
    fn every_frame_that_can_meet_a_single_request_has_one_meaning() {
        use Outcome::{Answer, Error, Refused, Violation};
        let unspecified = RefusalReason::Unspecified;
        let error_map = b"\x81\xa5Error\xa4nope";
        let table = [
            (frame(Op::Response, Flags::EOF, b"x"), Some(Answer(b"x"))),
            (frame(Op::Response, Flags::NONE, b""), Some(Answer(b""))),
            (frame(Op::Response, Flags::EOF | Flags::ERROR, b"e"), Some(Error(b"e"))),
            (frame(Op::MuxServerMsg, Flags::NONE, b"x"), Some(Answer(b"x"))),
            (frame(Op::MuxServerMsg, Flags::EOF | Flags::ERROR, b"e"), Some(Error(b"e"))),
            (frame(Op::MuxConnectError, Flags::EOF, error_map), Some(Refused(unspecified, b"nope"))),
            (frame(Op::DisconnectClientMux, Flags::NONE, b""), Some(Refused(unspecified, b"remote disconnected"))),
            (frame(Op::DisconnectClientMux, Flags::ERROR, b"why"), Some(Refused(unspecified, b"why"))),
            (frame(Op::AckMux, Flags::NONE, b""), None),
            (frame(Op::Pong, Flags::NONE, b""), None),
            (
                Frame {
                    head: Header { seq: 1, ..frame(Op::Response, Flags::EOF, b"").head },
                    payload: b"x",
                    ..frame(Op::Response, Flags::EOF, b"x")
                },
                Some(Violation("out-of-sequence item received")),
            ),
        ];
        for (frame, wanted) in table {
            assert_eq!(outcome(&frame), wanted, "{frame:?}");
        }
    }

    #[test]
    fn a_reason_in_the_trailer_makes_an_error_a_refusal() {
        let trailer = Trailer { refusal: Some(RefusalReason::Panicked), ..Trailer::default() };
        let panicked = Frame { trailer: Some(trailer), ..frame(Op::Response, Flags::EOF | Flags::ERROR, b"oh") };
        assert_eq!(outcome(&panicked), Some(Outcome::Refused(RefusalReason::Panicked, b"oh")));
    }

    #[test]
    fn an_unreadable_refusal_is_a_refusal() {
        let unreadable = frame(Op::MuxConnectError, Flags::EOF, b"\xc1");
        let refused = Outcome::Refused(RefusalReason::Unspecified, b"an unreadable refusal");
        assert_eq!(outcome(&unreadable), Some(refused));
    }

    #[test]
    fn only_a_peer_that_can_cancel_is_told_to() {
        let header = cancellation(9, Capabilities::OWN, Flags::CRC);
        assert_eq!(header, Some(Header::new(Op::DisconnectServerMux, 9, Flags::CRC)));
        assert_eq!(cancellation(9, Capabilities::V1, Flags::CRC), None);
    }
}

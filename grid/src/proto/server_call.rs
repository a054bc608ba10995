//! A single request, seen from the side that serves it.

use std::time::Duration;

use super::sending::{Size, zero_if_empty};
use crate::wire::{
    EncodedFrame, Flags, Frame, HandlerId, Header, MuxConnectError, Op, PayloadBuf, RefusalReason, Trailer,
};

/// A single request that has come in. Whoever holds it answers it at most once; dropping it says nothing to the remote,
/// which is what a passed deadline, a cancellation and a lost link ask for.
#[derive(Debug)]
pub(crate) struct ServerCall {
    request: Header,
    answer_flags: Flags,
}

/// What a handler made of a request.
#[derive(Debug)]
pub(crate) enum Reply {
    /// Its answer.
    Answer(PayloadBuf),
    /// No payload at all, which v1 peers tell from an empty one.
    Nil,
    /// Its error.
    Error(PayloadBuf),
    /// It ran, or was to run, and could not answer.
    Failed(RefusalReason, Box<str>),
}

impl Reply {
    /// Bytes of its payload.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Answer(payload) | Self::Error(payload) => payload.len(),
            Self::Nil => 0,
            Self::Failed(_, text) => text.len(),
        }
    }

    /// The end of a stream. To a v1 peer the answer has gone before it, and a reason means nothing.
    pub(crate) fn of_stream(self, with_reason: bool) -> (Flags, PayloadBuf, Trailer) {
        let size = |payload: &PayloadBuf| if payload.is_empty() { Size::Empty } else { Size::Some };
        let mut trailer = Trailer::default();
        let (flags, payload) = match self {
            Self::Answer(payload) => (zero_if_empty(size(&payload)), payload),
            Self::Nil => (Flags::NONE, PayloadBuf::with_capacity(0)),
            Self::Error(payload) => (Flags::ERROR | zero_if_empty(size(&payload)), payload),
            Self::Failed(reason, text) => {
                trailer.refusal = with_reason.then_some(reason);
                (Flags::ERROR, PayloadBuf::copy_from(text.as_bytes()))
            }
        };
        (flags, payload, trailer)
    }
}

impl ServerCall {
    /// `crc` is this side's own setting, whatever the request carried.
    pub(crate) fn on_request(frame: &Frame<'_>, crc: Flags) -> Self {
        let flags = frame.head.flags.without(Flags::CRC | Flags::SUBROUTE | Flags::TRAILER) | crc;
        Self { request: Header { flags, ..frame.head }, answer_flags: crc | Flags::EOF }
    }

    pub(crate) fn handler(&self) -> HandlerId {
        self.request.handler
    }

    /// Nothing follows the request.
    pub(crate) fn is_eof(&self) -> bool {
        self.request.flags.contains(Flags::EOF)
    }

    pub(crate) fn seq(&self) -> u32 {
        self.request.seq
    }

    pub(crate) fn mux(&self) -> u64 {
        self.request.mux
    }

    /// How long the caller waits for the answer; an answer after that is not sent.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        let millis = self.request.deadline_ms;
        (millis > 0).then(|| Duration::from_millis(millis.into()))
    }

    /// The handler ended. The answer copies the number of the request and none of its flags.
    pub(crate) fn on_reply(&self, reply: Reply, with_reason: bool) -> EncodedFrame {
        let mut trailer = Trailer::default();
        let (flags, payload) = match reply {
            Reply::Answer(payload) if payload.is_empty() => (Flags::ZERO, payload),
            Reply::Answer(payload) => (Flags::NONE, payload),
            Reply::Nil => (Flags::NONE, PayloadBuf::new()),
            Reply::Error(payload) => (Flags::ERROR, payload),
            Reply::Failed(reason, text) => {
                trailer.refusal = with_reason.then_some(reason);
                (Flags::ERROR, PayloadBuf::copy_from(text.as_bytes()))
            }
        };
        let header = Header::new(Op::Response, self.request.mux, self.answer_flags | flags);
        payload.seal(Header { seq: self.request.seq, ..header }, &trailer, None)
    }

    /// The call is not run. v1 sends the numbers of the request back, with another op and payload.
    pub(crate) fn on_refuse(self, reason: RefusalReason, text: &str, with_reason: bool) -> EncodedFrame {
        let mut payload = PayloadBuf::with_capacity(text.len() + 16);
        MuxConnectError { error: text }.put(payload.writer());
        let trailer = Trailer { refusal: with_reason.then_some(reason), ..Trailer::default() };
        payload.seal(Header { op: Op::MuxConnectError, ..self.request }, &trailer, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{Outcome, outcome};
    use crate::wire::{Capabilities, Subroute};

    fn request() -> EncodedFrame {
        let header = Header {
            handler: HandlerId::from(10),
            deadline_ms: 4999,
            ..Header::new(Op::Request, 77, Flags::CRC | Flags::EOF)
        };
        let trailer = Trailer { metadata: vec![("k".into(), "v".into())], ..Trailer::default() };
        let subroute = Subroute::new("a/b").id(HandlerId::from(10));
        PayloadBuf::copy_from(b"ping").seal(header, &trailer, Some(subroute))
    }

    fn call(crc: Flags) -> ServerCall {
        let request = request();
        ServerCall::on_request(&Frame::decode(request.as_bytes(), Capabilities::OWN).unwrap(), crc)
    }

    /// What the caller makes of the server's frame: the two machines back to back.
    fn seen_by_caller(encoded: &EncodedFrame, check: impl FnOnce(Frame<'_>, Option<Outcome<'_>>)) {
        let frame = Frame::decode(encoded.as_bytes(), Capabilities::OWN).unwrap();
        assert_eq!(frame.head.mux, 77);
        let outcome = outcome(&frame);
        check(frame, outcome);
    }

    #[test]
    fn reply_never_carries_the_subroute_or_the_requests_trailer() {
        for frame in [
            call(Flags::CRC).on_reply(Reply::Answer(PayloadBuf::copy_from(b"pong")), true),
            call(Flags::CRC).on_refuse(RefusalReason::UnknownHandler, "no", false),
        ] {
            let frame = Frame::decode(frame.as_bytes(), Capabilities::OWN).unwrap();
            assert!(!frame.head.flags.contains(Flags::SUBROUTE));
            assert_eq!((frame.subroute, frame.trailer), (None, None));
        }
    }

    #[test]
    fn each_reply_reaches_the_caller_as_its_outcome() {
        let payload = || PayloadBuf::copy_from(b"pong");
        seen_by_caller(&call(Flags::CRC).on_reply(Reply::Answer(payload()), true), |frame, outcome| {
            assert_eq!(outcome, Some(Outcome::Answer(b"pong")));
            assert_eq!(frame.head.flags, Flags::CRC | Flags::EOF);
        });
        seen_by_caller(&call(Flags::CRC).on_reply(Reply::Answer(PayloadBuf::new()), true), |frame, outcome| {
            assert_eq!(outcome, Some(Outcome::Answer(b"")));
            assert_eq!(frame.head.flags, Flags::CRC | Flags::EOF | Flags::ZERO);
        });
        seen_by_caller(&call(Flags::NONE).on_reply(Reply::Nil, true), |frame, outcome| {
            assert_eq!(outcome, Some(Outcome::Answer(b"")));
            assert_eq!(frame.head.flags, Flags::EOF);
        });
        seen_by_caller(&call(Flags::NONE).on_reply(Reply::Error(payload()), true), |_, outcome| {
            assert_eq!(outcome, Some(Outcome::Error(b"pong")));
        });
        let panicked = Reply::Failed(RefusalReason::Panicked, "oh".into());
        seen_by_caller(&call(Flags::NONE).on_reply(panicked, true), |_, outcome| {
            assert_eq!(outcome, Some(Outcome::Refused(RefusalReason::Panicked, b"oh")));
        });
    }

    #[test]
    fn a_refusal_sends_the_numbers_of_the_request_back() {
        let refused = call(Flags::CRC).on_refuse(RefusalReason::Overloaded, "busy", true);
        seen_by_caller(&refused, |frame, outcome| {
            assert_eq!((frame.head.deadline_ms, frame.head.handler), (4999, HandlerId::from(10)));
            assert_eq!(outcome, Some(Outcome::Refused(RefusalReason::Overloaded, b"busy")));
        });
    }

    #[test]
    fn no_deadline_on_the_wire_is_none() {
        let request = PayloadBuf::new().seal(Header::new(Op::Request, 1, Flags::EOF), &Trailer::default(), None);
        let frame = Frame::decode(request.as_bytes(), Capabilities::V1).unwrap();
        assert_eq!(ServerCall::on_request(&frame, Flags::NONE).timeout(), None);
        assert_eq!(call(Flags::NONE).timeout(), Some(Duration::from_millis(4999)));
    }
}

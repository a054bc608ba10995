//! How calls end.

use bytes::Bytes;

use crate::error::{LinkError, Refusal};
use crate::proto::Outcome;
use crate::text::{TEXT_MAX, bounded};
use crate::wire::RefusalReason;

/// How a call ended.
#[derive(Debug, Clone)]
pub(crate) enum Ended {
    /// Of a single request; a stream ends with its last item.
    Answer(Bytes),
    Error(Bytes),
    Refused(Refusal),
    Violation(&'static str),
    /// The link ended first.
    Link(LinkError),
    /// Of a stream; for a single request its future knows.
    Deadline,
    /// This side, or the caller, gave a stream up.
    Cancelled,
}

impl Ended {
    /// Of a stream whose remote does not answer pings, in the words of v1.
    pub(crate) fn silent() -> Self {
        Self::Refused(Refusal::new(RefusalReason::Unspecified, "remote disconnected"))
    }

    /// `own` makes the bytes of an outcome last.
    pub(crate) fn from_outcome<'a>(outcome: Outcome<'a>, own: impl FnOnce(&'a [u8]) -> Bytes) -> Self {
        match outcome {
            Outcome::Answer(payload) => Self::Answer(own(payload)),
            Outcome::Error(payload) => Self::Error(own(payload)),
            Outcome::Refused(reason, text) => Self::Refused(Refusal::new(reason, refusal_text(text))),
            Outcome::Violation(what) => Self::Violation(what),
        }
    }
}

/// What a peer says of why, as far as it is kept.
pub(super) fn refusal_text(text: &[u8]) -> Box<str> {
    // No character of what is kept ends behind that.
    let start = text.get(..TEXT_MAX + 3).unwrap_or(text);
    bounded(String::from_utf8_lossy(start))
}

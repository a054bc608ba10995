//! The body of a `MuxConnectError`, and why a node does not run a call.

use super::msgpack::{DecodeError, Reader, put_map_len, put_str};

/// Why a remote node did not run a call or could not answer it.
///
/// Sent between grid nodes; a v1 peer sends only a text, which is [`Unspecified`](Self::Unspecified).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RefusalReason {
    /// The remote gave a text and no reason, as v1 peers do.
    Unspecified,
    /// No such handler, or none under this subroute.
    UnknownHandler,
    /// The arguments could not be decoded.
    BadRequest,
    /// The handler panicked.
    Panicked,
    /// A limit is reached. Of a single request, and at the opening of a stream, nothing was run: trying again later, or
    /// elsewhere, is safe. As the end of a stream that was open: its items were not read fast enough at one of its two
    /// ends, and its handler has run.
    Overloaded,
    /// The node is about to leave. Nothing was run: trying elsewhere is safe.
    Draining,
    /// The handler ran, but its answer could not be encoded, is larger than a message may be, or would have had to wait
    /// beside too many bytes of others.
    BadAnswer,
    /// The caller may not make this call. Nothing was run, but of a stream that was open: one of its items was refused.
    Forbidden,
}

impl RefusalReason {
    pub(super) fn to_wire(self) -> u8 {
        match self {
            Self::Unspecified => 0,
            Self::UnknownHandler => 1,
            Self::BadRequest => 2,
            Self::Panicked => 3,
            Self::Overloaded => 4,
            Self::Draining => 5,
            Self::BadAnswer => 6,
            Self::Forbidden => 7,
        }
    }

    /// A number that a later version of grid may send is no more than a refusal here.
    pub(super) fn from_wire(number: u64) -> Self {
        match number {
            1 => Self::UnknownHandler,
            2 => Self::BadRequest,
            3 => Self::Panicked,
            4 => Self::Overloaded,
            5 => Self::Draining,
            6 => Self::BadAnswer,
            7 => Self::Forbidden,
            _ => Self::Unspecified,
        }
    }
}

/// The body of a frame that says why a call was not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MuxConnectError<'a> {
    pub(crate) error: &'a str,
}

impl<'a> MuxConnectError<'a> {
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        put_map_len(out, 1);
        put_str(out, "Error");
        put_str(out, self.error);
    }

    pub(crate) fn decode(payload: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(payload);
        let mut error = "";
        for _ in 0..reader.map_len("MuxConnectError")? {
            match reader.str("a key of MuxConnectError")? {
                "Error" => error = reader.str("Error")?,
                _ => reader.skip("a value of MuxConnectError")?,
            }
        }
        Ok(Self { error })
    }
}

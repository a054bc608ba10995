//! What grid nodes add to a frame, where v1 peers skip bytes.

use super::msgpack::{DecodeError, Reader, put_map_len, put_str, put_uint};
use super::refusal::RefusalReason;

/// The metadata name whose value is a W3C trace context; it has a key of its own in a trailer.
pub(crate) const TRACEPARENT: &str = "traceparent";

/// A msgpack map with small integer keys between the 7-tuple and the subroute and checksum at its end, announced by
/// [`Flags::TRAILER`](super::Flags::TRAILER). Sent only to a peer that has
/// [`Capabilities::TRAILER`](super::Capabilities::TRAILER). Unknown keys are skipped.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Trailer {
    /// Pairs of name and value; at most one named [`TRACEPARENT`].
    pub(crate) metadata: Vec<(Box<str>, Box<str>)>,
    pub(crate) refusal: Option<RefusalReason>,
}

impl Trailer {
    pub(crate) fn is_empty(&self) -> bool {
        self.metadata.is_empty() && self.refusal.is_none()
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let (trace, pairs): (Vec<_>, Vec<_>) = self.metadata.iter().partition(|(name, _)| **name == *TRACEPARENT);
        put_map_len(out, trace.len() + usize::from(!pairs.is_empty()) + usize::from(self.refusal.is_some()));
        for (_, value) in trace {
            put_uint(out, KEY_TRACE);
            put_str(out, value);
        }
        if !pairs.is_empty() {
            put_uint(out, KEY_METADATA);
            put_map_len(out, pairs.len());
            for (name, value) in pairs {
                put_str(out, name);
                put_str(out, value);
            }
        }
        if let Some(reason) = self.refusal {
            put_uint(out, KEY_REFUSAL);
            put_uint(out, reason.to_wire().into());
        }
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let mut trailer = Self::default();
        for _ in 0..reader.map_len("trailer")? {
            match reader.uint("a key of the trailer", u64::MAX)? {
                KEY_TRACE => trailer.metadata.push((TRACEPARENT.into(), reader.str("trace context")?.into())),
                KEY_METADATA => {
                    for _ in 0..reader.map_len("metadata")? {
                        let name = reader.str("a metadata name")?;
                        trailer.metadata.push((name.into(), reader.str("a metadata value")?.into()));
                    }
                }
                KEY_REFUSAL => {
                    let number = reader.uint("reason of a refusal", u64::MAX)?;
                    trailer.refusal = Some(RefusalReason::from_wire(number));
                }
                _ => reader.skip("a value of the trailer")?,
            }
        }
        Ok(trailer)
    }
}

const KEY_TRACE: u64 = 1;
const KEY_METADATA: u64 = 2;
const KEY_REFUSAL: u64 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trailer_comes_back_and_unknown_keys_are_skipped() {
        let trailer = Trailer {
            metadata: vec![(TRACEPARENT.into(), "00-ab-cd-01".into()), ("tenant".into(), "blue".into())],
            refusal: Some(RefusalReason::Overloaded),
        };
        let mut out = Vec::new();
        trailer.put(&mut out);
        assert_eq!(Trailer::decode(&out), Ok(trailer.clone()));

        out[0] += 1;
        out.extend_from_slice(&[0x63, 0x92, 0xc0, 0xa1, b'x']);
        assert_eq!(Trailer::decode(&out), Ok(trailer));
    }

    #[test]
    fn every_reason_survives_the_wire_and_an_unknown_one_is_unspecified() {
        for number in 0..=6 {
            assert_eq!(u64::from(RefusalReason::from_wire(number).to_wire()), number);
        }
        assert_eq!(RefusalReason::from_wire(99), RefusalReason::Unspecified);
    }
}

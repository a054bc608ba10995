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
    /// Items of a stream that the receiver of this frame may send from now on, beside those it might send already.
    pub(crate) credits: Option<u32>,
}

impl Trailer {
    pub(crate) fn is_empty(&self) -> bool {
        self.metadata.is_empty() && self.refusal.is_none() && self.credits.is_none()
    }

    /// The size of the metadata as limits count it: bytes of names and values, and 32 for each pair, as HTTP/2 counts
    /// header fields.
    pub(crate) fn metadata_bytes(&self) -> usize {
        self.metadata.iter().map(|(name, value)| name.len() + value.len() + PAIR_OVERHEAD).sum()
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let (trace, pairs): (Vec<_>, Vec<_>) = self.metadata.iter().partition(|(name, _)| **name == *TRACEPARENT);
        let others = [!pairs.is_empty(), self.refusal.is_some(), self.credits.is_some()];
        put_map_len(out, trace.len() + others.into_iter().filter(|there| *there).count());
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
        if let Some(credits) = self.credits {
            put_uint(out, KEY_CREDITS);
            put_uint(out, credits.into());
        }
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let mut trailer = Self::default();
        let (mut trace, mut metadata) = (Seen::No, Seen::No);
        for _ in 0..reader.map_len("trailer")? {
            match reader.uint("a key of the trailer", u64::MAX)? {
                KEY_TRACE => {
                    trace.once("trace context")?;
                    trailer.metadata.push((TRACEPARENT.into(), reader.str("trace context")?.into()));
                }
                KEY_METADATA => {
                    metadata.once("metadata")?;
                    let pairs = reader.map_len("metadata")?;
                    if pairs > PAIRS_MAX {
                        let field = "the number of metadata pairs";
                        return Err(DecodeError::Overflow { field, value: pairs.into(), max: PAIRS_MAX.into() });
                    }
                    for _ in 0..pairs {
                        let name = reader.str("a metadata name")?;
                        trailer.metadata.push((name.into(), reader.str("a metadata value")?.into()));
                    }
                }
                KEY_REFUSAL => {
                    let number = reader.uint("reason of a refusal", u64::MAX)?;
                    trailer.refusal = Some(RefusalReason::from_wire(number));
                }
                KEY_CREDITS => {
                    let credits = reader.uint("credits", u32::MAX.into())?;
                    trailer.credits = u32::try_from(credits).ok();
                }
                _ => reader.skip("a value of the trailer")?,
            }
        }
        Ok(trailer)
    }
}

/// Whether a key came already. A repeated one would get around the bound on what one may hold.
#[derive(PartialEq, Eq)]
enum Seen {
    No,
    Yes,
}

impl Seen {
    fn once(&mut self, key: &'static str) -> Result<(), DecodeError> {
        match std::mem::replace(self, Self::Yes) {
            Self::No => Ok(()),
            Self::Yes => Err(DecodeError::Repeated(key)),
        }
    }
}

const PAIR_OVERHEAD: usize = 32;
/// Empty pairs take two bytes on the wire and many times that in memory, so their number is bounded as well: far above
/// what [`Limits::metadata_bytes_max`](crate::Limits::metadata_bytes_max) lets a caller send.
const PAIRS_MAX: u32 = 4096;
const KEY_TRACE: u64 = 1;
const KEY_METADATA: u64 = 2;
const KEY_REFUSAL: u64 = 3;
const KEY_CREDITS: u64 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trailer_comes_back_and_unknown_keys_are_skipped() {
        let trailer = Trailer {
            metadata: vec![(TRACEPARENT.into(), "00-ab-cd-01".into()), ("tenant".into(), "blue".into())],
            refusal: Some(RefusalReason::Overloaded),
            credits: Some(64),
        };
        let mut out = Vec::new();
        trailer.put(&mut out);
        assert_eq!(Trailer::decode(&out), Ok(trailer.clone()));

        out[0] += 1;
        out.extend_from_slice(&[0x63, 0x92, 0xc0, 0xa1, b'x']);
        assert_eq!(Trailer::decode(&out), Ok(trailer));
    }

    #[test]
    fn a_claim_of_many_pairs_is_refused_before_memory_is_taken() {
        let claim = [0x81, 0x02, 0xdf, 0xff, 0xff, 0xff, 0xff];
        assert!(matches!(Trailer::decode(&claim), Err(DecodeError::Overflow { .. })));
        let twice = [0x82, 0x02, 0x80, 0x02, 0x80];
        assert_eq!(Trailer::decode(&twice), Err(DecodeError::Repeated("metadata")));
    }

    #[test]
    fn every_reason_survives_the_wire_and_an_unknown_one_is_unspecified() {
        for number in 0..=6 {
            assert_eq!(u64::from(RefusalReason::from_wire(number).to_wire()), number);
        }
        assert_eq!(RefusalReason::from_wire(99), RefusalReason::Unspecified);
    }
}

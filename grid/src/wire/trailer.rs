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
    /// Of pairs that came and were not kept, as they were too many.
    pub(crate) unkept_bytes: usize,
}

impl Trailer {
    pub(crate) fn is_empty(&self) -> bool {
        self.metadata.is_empty() && self.refusal.is_none() && self.credits.is_none()
    }

    /// The size of the metadata as limits count it: bytes of names and values, and 32 for each pair, as HTTP/2 counts
    /// header fields.
    pub(crate) fn metadata_bytes(&self) -> usize {
        self.unkept_bytes + self.metadata.iter().map(|(name, value)| pair_bytes(name, value)).sum::<usize>()
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

    /// Keeps no more metadata than may be: small pairs take many times in memory what they take on the wire.
    pub(super) fn decode(bytes: &[u8], metadata_bytes_max: usize) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let mut trailer = Self::default();
        let mut free = metadata_bytes_max;
        let mut keep = |trailer: &mut Self, name: &str, value: &str| match free.checked_sub(pair_bytes(name, value)) {
            Some(left) => {
                free = left;
                trailer.metadata.push((name.into(), value.into()));
            }
            None => {
                free = 0;
                trailer.unkept_bytes += pair_bytes(name, value);
            }
        };
        let (mut trace, mut metadata) = (Seen::No, Seen::No);
        for _ in 0..reader.map_len("trailer")? {
            match reader.uint("a key of the trailer", u64::MAX)? {
                KEY_TRACE => {
                    trace.once("trace context")?;
                    keep(&mut trailer, TRACEPARENT, reader.str("trace context")?);
                }
                KEY_METADATA => {
                    metadata.once("metadata")?;
                    for _ in 0..reader.map_len("metadata")? {
                        let name = reader.str("a metadata name")?;
                        keep(&mut trailer, name, reader.str("a metadata value")?);
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

fn pair_bytes(name: &str, value: &str) -> usize {
    name.len() + value.len() + PAIR_OVERHEAD
}

const PAIR_OVERHEAD: usize = 32;
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
            unkept_bytes: 0,
        };
        let mut out = Vec::new();
        trailer.put(&mut out);
        assert_eq!(Trailer::decode(&out, 1 << 10), Ok(trailer.clone()));

        out[0] += 1;
        out.extend_from_slice(&[0x63, 0x92, 0xc0, 0xa1, b'x']);
        assert_eq!(Trailer::decode(&out, 1 << 10), Ok(trailer));
    }

    #[test]
    fn of_too_many_pairs_those_are_kept_that_may_be_and_all_are_counted() {
        let pairs = (0..100_u8).map(|number| (number.to_string().into(), "".into())).collect();
        let trailer = Trailer { metadata: pairs, ..Trailer::default() };
        let mut out = Vec::new();
        trailer.put(&mut out);
        let kept = Trailer::decode(&out, 10 * (PAIR_OVERHEAD + 1)).unwrap();
        assert_eq!(kept.metadata, trailer.metadata[..10]);
        assert_eq!(kept.metadata_bytes(), trailer.metadata_bytes());

        let claim = [0x81, 0x02, 0xdf, 0xff, 0xff, 0xff, 0xff];
        assert!(matches!(Trailer::decode(&claim, 1 << 10), Err(DecodeError::Truncated(_))));
        let twice = [0x82, 0x02, 0x80, 0x02, 0x80];
        assert_eq!(Trailer::decode(&twice, 1 << 10), Err(DecodeError::Repeated("metadata")));
    }

    #[test]
    fn every_reason_survives_the_wire_and_an_unknown_one_is_unspecified() {
        for number in 0..=7 {
            assert_eq!(u64::from(RefusalReason::from_wire(number).to_wire()), number);
        }
        assert_eq!(RefusalReason::from_wire(99), RefusalReason::Unspecified);
    }
}

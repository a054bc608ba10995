//! Any bytes as one frame.

use twox_hash::XxHash3_64;

use super::choices::Choices;
use crate::wire::{Capabilities, Flags, Frame, PayloadBuf, TRACEPARENT, Trailer};

/// Decodes a message. What is a frame comes back from its own encoding, which is as short as a frame can be.
pub fn frame(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let settings = choices.byte();
    let message = choices.rest();
    let message = if settings & CHECKSUM == 0 { message.to_vec() } else { with_checksum(message) };
    let capabilities = match settings & 3 {
        0 => Capabilities::OWN,
        1 => Capabilities::V1,
        2 => Capabilities::TRAILER,
        _ => Capabilities::WIDE_HANDLERS,
    };
    let Ok(decoded) = Frame::decode(&message, capabilities) else { return };
    let tail = decoded.rest.len() + decoded.payload.len();
    assert!(tail <= message.len(), "what a frame borrows is in its message");
    assert!(decoded.head.flags.contains(Flags::SUBROUTE) == decoded.subroute.is_some());
    if decoded.head.flags.contains(Flags::CRC) {
        let covered = message.len().checked_sub(4).and_then(|len| message.get(..len)).expect("there is a checksum");
        assert_eq!(with_checksum(covered), message, "a wrong checksum is taken for a right one");
    }
    assert!(decoded.trailer.is_none() || capabilities.contains(Capabilities::TRAILER));
    if let Some(trailer) = &decoded.trailer {
        let within = Frame::decode_within(&message, capabilities, METADATA_BYTES_MAX).expect("it is the same frame");
        let within = within.trailer.expect("it has a trailer");
        assert_eq!(within.metadata_bytes(), trailer.metadata_bytes(), "what is not kept is counted");
        assert!(within.metadata_bytes() - within.unkept_bytes <= METADATA_BYTES_MAX, "more is kept than may be");
    }
    comes_back(&decoded, &message, capabilities);
}

fn comes_back(decoded: &Frame<'_>, message: &[u8], capabilities: Capabilities) {
    let trailer = decoded.trailer.clone().unwrap_or_default();
    let traces = trailer.metadata.iter().filter(|(name, _)| **name == *TRACEPARENT).count();
    if traces > 1 {
        // Two of them have no encoding, and nobody passes metadata on as it came.
        return;
    }
    let encoded = PayloadBuf::copy_from(decoded.payload).seal(decoded.head, &trailer, decoded.subroute);
    assert!(encoded.len() <= message.len(), "{decoded:?} is encoded in more bytes than it came in");
    let again = Frame::decode(encoded.as_bytes(), capabilities).expect("what is encoded can be decoded");
    assert_eq!((again.payload, again.subroute), (decoded.payload, decoded.subroute));
    let bare = |flags: Flags| flags.without(Flags::TRAILER);
    assert_eq!(bare(again.head.flags), bare(decoded.head.flags));
    assert_eq!(again.head, crate::wire::Header { flags: again.head.flags, ..decoded.head });
    let sorted = |mut trailer: Trailer| {
        trailer.metadata.sort_by_key(|(name, _)| **name != *TRACEPARENT);
        trailer
    };
    assert_eq!(sorted(again.trailer.clone().unwrap_or_default()), sorted(trailer));

    let trailer = again.trailer.unwrap_or_default();
    let mut encoded_again = PayloadBuf::copy_from(again.payload).seal(again.head, &trailer, again.subroute);
    assert_eq!(encoded_again.as_bytes(), encoded.as_bytes(), "a frame has one encoding");
    encoded_again.prepend(&[0; 14]);
    assert_eq!(encoded_again.as_bytes().get(14..), Some(encoded.as_bytes()), "there is room for any header");
}

/// A message that ends with the checksum of what is before it, which no fuzzer finds by itself.
pub(super) fn with_checksum(message: &[u8]) -> Vec<u8> {
    let [a, b, c, d, ..] = XxHash3_64::oneshot(message).to_le_bytes();
    [message, &[a, b, c, d]].concat()
}

/// Two small pairs.
const METADATA_BYTES_MAX: usize = 80;
const CHECKSUM: u8 = 0x80;

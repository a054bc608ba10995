//! Many frames in one message.

use super::frame::{Flags, Frame, Header, Op};
use super::msgpack::{DecodeError, Reader, put_bin};

/// Encoded frames one behind the other, each as an element of a merge, so that a message is made of any run of them without
/// a look at each. What goes in comes out in order, in as few messages as the rules of merging allow.
#[derive(Debug, Default)]
pub(crate) struct Pack {
    elements: Vec<u8>,
    /// The length of each element.
    lens: Vec<usize>,
    /// How many elements have been given out, and their bytes.
    given: (usize, usize),
}

/// One message of a [`Pack`]: a lone frame as itself, several as a merge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packed<'a> {
    One(&'a [u8]),
    Many { count: u32, elements: &'a [u8] },
}

impl Pack {
    /// v1 peers put up to 51 frames in one message.
    const FRAMES_MAX: usize = 51;
    /// v1 peers stop adding to a merge near this size.
    const BYTES_MAX: usize = 31 * 1024;

    pub(crate) fn push(&mut self, frame: &[u8]) {
        let before = self.elements.len();
        put_bin(&mut self.elements, frame);
        self.lens.push(self.elements.len() - before);
    }

    /// Nothing is left to be given out.
    pub(crate) fn is_empty(&self) -> bool {
        self.given.0 == self.lens.len()
    }

    /// Bytes that are left, with a header for each frame.
    pub(crate) fn bytes(&self) -> usize {
        self.elements.len() - self.given.1
    }

    /// The next message. `message_bytes_max` is what a message may be at all.
    pub(crate) fn next_message(&mut self, message_bytes_max: usize) -> Option<Packed<'_>> {
        let bytes_max = message_bytes_max.min(Self::BYTES_MAX) - OUTER_LEN;
        let (first, start) = self.given;
        let lens = self.lens.get(first..)?;
        let mut bytes = *lens.first()?;
        let mut count = 1;
        for len in lens.iter().take(Self::FRAMES_MAX).skip(1) {
            if bytes + len > bytes_max {
                break;
            }
            bytes += len;
            count += 1;
        }
        self.given = (first + count, start + bytes);
        let elements = self.elements.get(start..start + bytes)?;
        Some(match u32::try_from(count) {
            Ok(count @ 2..) => Packed::Many { count, elements },
            _ => Packed::One(elements.get(bin_header_len(elements)..).unwrap_or_default()),
        })
    }

    /// Forgets what was given out, which is all of it, and keeps the memory.
    pub(crate) fn clear(&mut self) {
        debug_assert!(self.is_empty(), "what was not given out would be lost");
        self.elements.clear();
        self.lens.clear();
        self.given = (0, 0);
    }

    /// Gives the memory back, unless it is in use.
    pub(crate) fn shrink(&mut self) {
        if self.is_empty() {
            *self = Self::default();
        }
    }
}

impl Packed<'_> {
    /// How long the message is that [`put`](Self::put) appends.
    pub(crate) fn encoded_len(&self) -> usize {
        match self {
            Self::One(frame) => frame.len(),
            Self::Many { elements, .. } => OUTER_LEN + elements.len(),
        }
    }

    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        match *self {
            Self::One(frame) => out.extend_from_slice(frame),
            Self::Many { count, elements } => {
                Header { seq: count, ..Header::new(Op::Merged, 0, Flags::NONE) }.put(out, 0);
                out.extend_from_slice(elements);
            }
        }
    }
}

/// The messages inside a merge, in order. Fewer than the merge says: the last item is an error.
pub(crate) fn elements<'a>(merged: &Frame<'a>) -> impl Iterator<Item = Result<&'a [u8], DecodeError>> + use<'a> {
    debug_assert_eq!(merged.head.op, Op::Merged);
    let mut reader = Reader::new(merged.rest);
    let mut left = merged.head.seq;
    std::iter::from_fn(move || {
        left = left.checked_sub(1)?;
        let element = reader.bin("an element of a merge");
        if element.is_err() {
            left = 0;
        }
        Some(element)
    })
}

/// Of an element that [`Pack::push`] wrote.
fn bin_header_len(element: &[u8]) -> usize {
    match element.first() {
        Some(0xc4) => 2,
        Some(0xc5) => 3,
        _ => 5,
    }
}

/// The tuple of a merge whose count is below 128.
const OUTER_LEN: usize = 9;

#[cfg(test)]
mod tests {
    use super::super::hello::Capabilities;
    use super::*;

    fn messages(sizes: &[usize], message_bytes_max: usize) -> Vec<Vec<u8>> {
        let mut pack = Pack::default();
        sizes.iter().for_each(|size| pack.push(&vec![1; *size]));
        let mut messages = Vec::new();
        while let Some(message) = pack.next_message(message_bytes_max) {
            let mut out = Vec::new();
            message.put(&mut out);
            assert_eq!(out.len(), message.encoded_len(), "{sizes:?}");
            messages.push(out);
        }
        assert!(pack.is_empty() && pack.bytes() == 0);
        messages
    }

    #[test]
    fn a_lone_frame_goes_as_itself_and_several_as_a_merge() {
        for size in [0, 5, 255, 256, 65_535, 65_536] {
            assert_eq!(messages(&[size], usize::MAX), [vec![1; size]]);
        }
        let merged = [0x97, 0, 2, 0, 0, 17, 0, 0xc4, 0, 0xc4, 1, 1, 0xc4, 0];
        assert_eq!(messages(&[1, 0], usize::MAX), [merged]);
    }

    #[test]
    fn a_merge_ends_at_51_frames_at_31_kib_and_at_what_a_message_may_be() {
        let lens = |messages: Vec<Vec<u8>>| messages.iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(lens(messages(&[0; 103], usize::MAX)), [9 + 51 * 2, 9 + 51 * 2, 0]);
        assert_eq!(lens(messages(&[10_000, 10_000, 20_000], usize::MAX)), [9 + 2 * 10_003, 20_000]);
        assert_eq!(lens(messages(&[500, 500, 500], 1024)), [9 + 2 * 503, 500]);
        assert_eq!(lens(messages(&[400, 400, 40_000], 1024)), [9 + 2 * 403, 40_000]);
    }

    #[test]
    fn elements_end_after_the_first_bad_one() {
        let bytes = [0x97, 0, 3, 0, 0, 17, 0, 0xc4, 0, 0xc4, 1, 0xaa, 0xc4, 9, 1];
        let frame = Frame::decode(&bytes, Capabilities::V1).unwrap();
        let found: Vec<_> = elements(&frame).collect();
        assert_eq!(found, [Ok(&[0xaa][..]), Err(DecodeError::Truncated("an element of a merge"))]);
    }

    #[test]
    fn a_claim_of_four_billion_elements_costs_nothing() {
        let bytes = [0x97, 0, 0xce, 0xff, 0xff, 0xff, 0xff, 0, 0, 17, 0, 0xc4, 0];
        let frame = Frame::decode(&bytes, Capabilities::V1).unwrap();
        assert_eq!(elements(&frame).count(), 1);
    }

    #[test]
    fn bytes_behind_the_last_element_are_ignored() {
        let bytes = [0x97, 0, 1, 0, 0, 17, 0, 0xc4, 0, 0xc4, 1, 0xaa, 1, 2, 3];
        let frame = Frame::decode(&bytes, Capabilities::V1).unwrap();
        assert_eq!(elements(&frame).collect::<Vec<_>>(), [Ok(&[0xaa][..])]);
    }
}

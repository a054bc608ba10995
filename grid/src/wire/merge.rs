//! Many frames in one message.

use super::frame::{Flags, Frame, Header, Op};
use super::msgpack::{DecodeError, Reader, put_bin};

/// Collects encoded frames for one message. One frame goes out as itself, several as a merge.
#[derive(Debug)]
pub(crate) struct Merge<'a> {
    frames: Vec<&'a [u8]>,
    /// Of the frames, each with its header in a merge.
    bytes: usize,
    bytes_max: usize,
}

impl<'a> Merge<'a> {
    /// v1 peers put up to 51 frames in one message.
    const FRAMES_MAX: usize = 51;
    /// v1 peers stop adding to a merge near this size.
    const BYTES_MAX: usize = 31 * 1024;

    /// `message_bytes_max` is what a message may be at all.
    pub(crate) fn new(message_bytes_max: usize) -> Self {
        Self { frames: Vec::new(), bytes: 0, bytes_max: message_bytes_max.min(Self::BYTES_MAX) }
    }

    /// Whether one more frame of this length may join. The first always may.
    pub(crate) fn has_room(&self, len: usize) -> bool {
        let bytes = OUTER_LEN + self.bytes + bin_header_len(len) + len;
        self.frames.is_empty() || (self.frames.len() < Self::FRAMES_MAX && bytes <= self.bytes_max)
    }

    pub(crate) fn push(&mut self, frame: &'a [u8]) {
        self.bytes += bin_header_len(frame.len()) + frame.len();
        self.frames.push(frame);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// How long the message is that [`put`](Self::put) appends.
    pub(crate) fn encoded_len(&self) -> usize {
        match self.frames.as_slice() {
            [only] => only.len(),
            _ => OUTER_LEN + self.bytes,
        }
    }

    pub(crate) fn clear(&mut self) {
        self.frames.clear();
        self.bytes = 0;
    }

    /// Appends the message.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        if let [only] = self.frames.as_slice() {
            out.extend_from_slice(only);
            return;
        }
        let count = u32::try_from(self.frames.len()).unwrap_or(u32::MAX);
        Header { seq: count, ..Header::new(Op::Merged, 0, Flags::NONE) }.put(out, 0);
        for frame in &self.frames {
            put_bin(out, frame);
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

fn bin_header_len(len: usize) -> usize {
    match len {
        0..=0xff => 2,
        0x100..=0xffff => 3,
        _ => 5,
    }
}

/// The tuple of a merge whose count is below 128.
const OUTER_LEN: usize = 9;

#[cfg(test)]
mod tests {
    use super::super::hello::Capabilities;
    use super::*;

    #[test]
    fn elements_end_after_the_first_bad_one() {
        let bytes = [0x97, 0, 3, 0, 0, 17, 0, 0xc4, 0, 0xc4, 1, 0xaa, 0xc4, 9, 1];
        let frame = Frame::decode(&bytes, Capabilities::V1).unwrap();
        let found: Vec<_> = elements(&frame).collect();
        assert_eq!(found, [Ok(&[0xaa][..]), Err(DecodeError::Truncated("an element of a merge"))]);
    }

    #[test]
    fn the_length_is_known_before_the_bytes() {
        for sizes in [&[5][..], &[5, 300], &[0; 51], &[255, 256, 65_535, 65_536]] {
            let frames: Vec<Vec<u8>> = sizes.iter().map(|size| vec![1; *size]).collect();
            let mut merge = Merge::new(usize::MAX);
            frames.iter().for_each(|frame| merge.push(frame));
            let mut out = Vec::new();
            merge.put(&mut out);
            assert_eq!(out.len(), merge.encoded_len(), "{sizes:?}");
        }
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

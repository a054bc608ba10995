//! Memory of frames that were sent, for those that come next.
//!
//! Most frames are copied into a write by the thread that encoded them. So each thread keeps some of their memory, and
//! encoding costs no allocation, nor the growth of one.

use std::cell::RefCell;

use crate::wire::{EncodedFrame, PayloadBuf};

thread_local!(static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) });

/// An empty payload.
pub(crate) fn payload() -> PayloadBuf {
    let memory = SPARE.try_with(|spare| spare.borrow_mut().pop()).ok().flatten();
    memory.map_or_else(PayloadBuf::new, PayloadBuf::in_memory)
}

/// A payload of these bytes.
pub(crate) fn payload_of(bytes: &[u8]) -> PayloadBuf {
    let mut payload = payload();
    payload.writer().extend_from_slice(bytes);
    payload
}

/// Keeps the memory of a frame that is not needed any more.
pub(crate) fn keep(frame: EncodedFrame) {
    let memory = frame.into_memory();
    if memory.capacity() > PIECE_MAX {
        return;
    }
    // At its end a thread has nothing to keep it in.
    let _kept = SPARE.try_with(|spare| {
        let mut spare = spare.borrow_mut();
        if spare.len() < PIECES_MAX {
            spare.push(memory);
        }
    });
}

/// Larger pieces are not kept: a payload of one byte may get any, and may wait with it. Frames up to half of this are
/// copied, and memory grows by doubling.
const PIECE_MAX: usize = 8 << 10;
/// What a thread keeps, 128 KiB at most: for callers that begin several calls before the first is polled.
const PIECES_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Flags, Header, Op, Trailer};

    fn sealed(payload: PayloadBuf) -> EncodedFrame {
        payload.seal(Header::new(Op::Request, 1, Flags::CRC), &Trailer::default(), None)
    }

    #[test]
    fn memory_is_used_again_and_nothing_of_what_was_in_it() {
        let first = sealed(payload_of(&[7; 1000]));
        let memory = first.as_bytes().as_ptr_range();
        keep(first);
        let second = sealed(payload_of(b"x"));
        assert!(memory.contains(&second.as_bytes().as_ptr()));
        assert_eq!(second.as_bytes(), sealed(PayloadBuf::copy_from(b"x")).as_bytes());
    }

    #[test]
    fn a_small_payload_never_gets_the_memory_of_a_large_frame() {
        for bytes in (10..=24).map(|log| 1 << log) {
            keep(sealed(payload_of(&vec![7; bytes])));
            let mut small = payload_of(b"x");
            assert!(small.writer().capacity() <= 8 << 10, "{} bytes, after {bytes}", small.writer().capacity());
        }
    }

    #[test]
    fn what_is_kept_is_bounded() {
        keep(sealed(payload_of(&[7; 2 * PIECE_MAX])));
        (0..2 * PIECES_MAX).map(|_| sealed(PayloadBuf::new())).for_each(keep);
        let kept = SPARE.with_borrow(|spare| (spare.len(), spare.iter().map(Vec::capacity).max()));
        assert!(kept.0 == PIECES_MAX && kept.1 <= Some(PIECE_MAX), "{kept:?}");
    }
}

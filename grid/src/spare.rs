//! Memory of frames that were sent, for those that come next.
//!
//! Most frames are copied into a write by the thread that encoded them. So each thread keeps some of their memory, and
//! encoding costs no allocation, nor the growth of one.

use std::cell::RefCell;

use crate::wire::{EncodedFrame, PayloadBuf};

thread_local!(static SPARE: RefCell<Spare> = const { RefCell::new(Spare { pieces: Vec::new(), bytes: 0 }) });

struct Spare {
    pieces: Vec<Vec<u8>>,
    bytes: usize,
}

impl Spare {
    fn pop(&mut self) -> Option<Vec<u8>> {
        let memory = self.pieces.pop()?;
        self.bytes -= memory.capacity();
        Some(memory)
    }

    fn push(&mut self, memory: Vec<u8>) {
        if self.pieces.len() < PIECES_MAX && self.bytes + memory.capacity() <= BYTES_MAX {
            self.bytes += memory.capacity();
            self.pieces.push(memory);
        }
    }
}

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
    // At its end a thread has nothing to keep it in.
    let _kept = SPARE.try_with(|spare| spare.borrow_mut().push(frame.into_memory()));
}

/// How many pieces a thread keeps: for callers that begin several calls before the first is polled.
const PIECES_MAX: usize = 16;
/// How much memory a thread keeps: some frames of 64 KiB, or all pieces if they are for small ones.
const BYTES_MAX: usize = 512 << 10;

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
    fn what_is_kept_is_bounded() {
        keep(sealed(payload_of(&vec![7; 2 * BYTES_MAX])));
        let kept = || SPARE.with_borrow(|spare| (spare.pieces.len(), spare.bytes));
        assert_eq!(kept().1, 0);
        (0..2 * PIECES_MAX).map(|_| sealed(PayloadBuf::new())).for_each(keep);
        assert_eq!(kept().0, PIECES_MAX);
        while kept().0 > 0 {
            drop(payload());
        }
        (0..PIECES_MAX).map(|_| sealed(PayloadBuf::copy_from(&[7; 64 << 10]))).for_each(keep);
        assert!((BYTES_MAX / 2..=BYTES_MAX).contains(&kept().1), "{:?}", kept());
    }
}

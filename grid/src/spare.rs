//! Memory of frames that were sent, for those that come next.
//!
//! Most frames are copied into a write by the thread that encoded them. So each thread keeps some of their memory, and
//! encoding costs no allocation, nor the growth of one.

use std::cell::RefCell;
use std::io;

use crate::wire::{EncodedFrame, PayloadBuf};

thread_local!(static SPARE: RefCell<Spare> = const { RefCell::new(Spare { small: Vec::new(), large: Vec::new() }) });

struct Spare {
    small: Vec<Vec<u8>>,
    large: Vec<Vec<u8>>,
}

/// An empty payload.
pub(crate) fn payload() -> PayloadBuf {
    let memory = SPARE.try_with(|spare| spare.borrow_mut().small.pop()).ok().flatten();
    memory.map_or_else(PayloadBuf::new, PayloadBuf::in_memory)
}

/// A payload of these bytes.
pub(crate) fn payload_of(bytes: &[u8]) -> PayloadBuf {
    let mut payload = payload();
    Growing::new(payload.writer()).extend(bytes);
    payload
}

/// Where a payload is encoded. When it becomes large it moves into memory of its size.
///
/// serde encodes what is nested by recursion, and a stack that overflows ends the process. Each level writes something, so it
/// is here that it can be seen how far the stack has grown.
#[derive(Debug)]
pub(crate) struct Growing<'a> {
    memory: &'a mut Vec<u8>,
    /// Where the stack was when encoding began.
    stack: usize,
    pub(crate) depth: Depth,
}

/// How deep the value nests that is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    Usual,
    TooGreat,
}

impl<'a> Growing<'a> {
    pub(crate) fn new(memory: &'a mut Vec<u8>) -> Self {
        Self { memory, stack: stack(), depth: Depth::Usual }
    }

    #[inline]
    fn extend(&mut self, bytes: &[u8]) {
        if self.memory.capacity() - self.memory.len() < bytes.len() {
            self.grow(bytes.len());
        }
        self.memory.extend_from_slice(bytes);
    }

    #[inline]
    fn write_some(&mut self, bytes: &[u8]) -> io::Result<()> {
        if stack().abs_diff(self.stack) > STACK_MAX {
            self.depth = Depth::TooGreat;
            return Err(io::ErrorKind::Other.into());
        }
        self.extend(bytes);
        Ok(())
    }

    #[cold]
    fn grow(&mut self, more: usize) {
        let len = self.memory.len() + more + PayloadBuf::TAIL;
        match large(len) {
            Some(mut memory) => {
                memory.clear();
                memory.extend_from_slice(self.memory);
                keep_memory(std::mem::replace(self.memory, memory));
            }
            // With something over, so that it does for the next one, which is about as large.
            None => self.memory.reserve(more + PayloadBuf::TAIL + len / 8),
        }
    }
}

impl io::Write for Growing<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_some(bytes).map(|()| bytes.len())
    }

    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_some(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// About where the stack is.
#[inline]
fn stack() -> usize {
    let here = 0_u8;
    (&raw const here).addr()
}

/// Memory for this many bytes, and not for many more: it may wait with them.
fn large(len: usize) -> Option<Vec<u8>> {
    let fits = |memory: &Vec<u8>| memory.capacity() >= len && memory.capacity() / 2 <= len;
    let taken = SPARE.try_with(|spare| {
        let large = &mut spare.borrow_mut().large;
        let fitting = large.iter().rposition(fits)?;
        Some(large.remove(fitting))
    });
    taken.ok().flatten()
}

/// Gives back what this thread keeps of larger pieces.
pub(crate) fn shrink() {
    let _kept_nothing = SPARE.try_with(|spare| spare.borrow_mut().large = Vec::new());
}

/// Keeps the memory of a frame that is not needed any more.
pub(crate) fn keep(frame: EncodedFrame) {
    keep_memory(frame.into_memory());
}

fn keep_memory(memory: Vec<u8>) {
    // At its end a thread has nothing to keep it in.
    let _kept = SPARE.try_with(|spare| {
        let Spare { small, large } = &mut *spare.borrow_mut();
        if memory.capacity() <= SMALL_MAX {
            if small.len() < SMALL_PIECES_MAX {
                small.push(memory);
            }
        } else if memory.capacity() <= LARGE_BYTES_MAX {
            large.push(memory);
            // What is kept longest is the least like what comes now.
            while large.iter().map(Vec::capacity).sum::<usize>() > LARGE_BYTES_MAX {
                large.remove(0);
            }
        }
    });
}

/// Any payload may get a piece up to this size, one of one byte as well, and may wait with it. Frames up to half of this are
/// copied, and memory grows by doubling.
const SMALL_MAX: usize = 8 << 10;
/// What a thread keeps, 128 KiB at most: for callers that begin several calls before the first is polled.
const SMALL_PIECES_MAX: usize = 16;
/// What a thread keeps of larger pieces, for what is about as large as they were. Systems clear memory page by page
/// before they give it out, which takes longer than to encode into it, and allocators give such sizes back at once.
const LARGE_BYTES_MAX: usize = 2 << 20;
/// What encoding a value may take of the stack: a quarter of the 2 MiB that threads have, some thousand levels.
const STACK_MAX: usize = 512 << 10;

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
        let frames = (0..400).map(|step| sealed(payload_of(&vec![7; step << 10]))).collect::<Vec<_>>();
        frames.into_iter().for_each(keep);
        keep(sealed(payload_of(&vec![7; LARGE_BYTES_MAX])));
        SPARE.with_borrow(|Spare { small, large }| {
            assert!(small.iter().all(|memory| memory.capacity() <= SMALL_MAX));
            let bytes: usize = large.iter().map(Vec::capacity).sum();
            assert!((LARGE_BYTES_MAX / 2..=LARGE_BYTES_MAX).contains(&bytes), "{bytes}");
            assert!(small.len() <= SMALL_PIECES_MAX, "{}", small.len());
        });
        (0..2 * SMALL_PIECES_MAX).map(|_| sealed(PayloadBuf::new())).collect::<Vec<_>>().into_iter().for_each(keep);
        assert_eq!(SPARE.with_borrow(|spare| spare.small.len()), SMALL_PIECES_MAX);
    }

    #[test]
    fn what_is_large_takes_the_memory_of_what_was_as_large_and_a_small_payload_never_does() {
        let first = sealed(payload_of(&[7; 64 << 10]));
        let memory = first.as_bytes().as_ptr_range();
        keep(first);
        for len in [1, 20 << 10] {
            assert!(!memory.contains(&sealed(payload_of(&vec![7; len])).as_bytes().as_ptr()), "{len}");
        }
        let second = sealed(payload_of(&[8; (64 << 10) + 100]));
        assert!(memory.contains(&second.as_bytes().as_ptr()));
        assert_eq!(second.as_bytes(), sealed(PayloadBuf::copy_from(&[8; (64 << 10) + 100])).as_bytes());
    }

    #[test]
    fn of_large_pieces_the_one_that_was_kept_longest_goes_first() {
        let piece = |len: usize| sealed(payload_of(&vec![7; len << 10]));
        let frames = [100, 300, 800].map(piece);
        frames.into_iter().for_each(keep);
        let taken = piece(100);
        keep(piece(1000));
        let kept =
            SPARE.with_borrow(|spare| spare.large.iter().map(|memory| memory.capacity() >> 10).collect::<Vec<_>>());
        assert!(kept.len() == 2 && kept[0] >= 800 && kept[1] >= 1000, "{kept:?}");
        keep(taken);
        shrink();
        assert_eq!(SPARE.with_borrow(|spare| spare.large.len()), 0);
    }
}

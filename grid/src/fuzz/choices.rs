//! The bytes of a fuzzer as a row of choices.

/// Takes choices off the front of some bytes. When those are used up each choice is the first one, so that every input means
/// something, and a part of it much the same.
#[derive(Debug, Clone, Copy)]
pub(super) struct Choices<'a> {
    rest: &'a [u8],
}

impl<'a> Choices<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn is_over(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.rest.split_first() else { return 0 };
        self.rest = rest;
        *first
    }

    /// A number below `end`, which is above 0.
    pub(super) fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end
    }

    /// One of some things.
    pub(super) fn of<T: Copy>(&mut self, all: &[T]) -> T {
        *all.get(self.below(all.len())).expect("it is below their number")
    }

    pub(super) fn is_so(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// A number near an end of a range, or any.
    pub(super) fn u32(&mut self) -> u32 {
        match self.byte() {
            small @ 0..=0xdf => small.into(),
            near @ 0xe0..=0xef => u32::MAX - u32::from(near & 0x0f),
            _ => self.bytes(4).iter().fold(0, |number, byte| (number << 8) | u32::from(*byte)),
        }
    }

    /// As many bytes as there are, up to so many.
    pub(super) fn bytes(&mut self, max: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(max.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    /// Some bytes, preceded by their number.
    pub(super) fn some_bytes(&mut self) -> &'a [u8] {
        let len = self.byte();
        self.bytes(len.into())
    }

    pub(super) fn rest(self) -> &'a [u8] {
        self.rest
    }
}

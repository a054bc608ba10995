//! A message as it came, and how parts of it are kept.

use bytes::Bytes;

/// A whole binary message, in memory that it may share with what came before it and after it.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    bytes: Bytes,
    /// The size of the memory that any part of it keeps.
    memory: usize,
}

impl Message {
    pub(crate) fn in_shared_memory(bytes: Bytes, memory: usize) -> Self {
        Self { bytes, memory }
    }

    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The bytes of a payload, for as long as a handler, a reader or a caller likes. They are copied if they are few or a
    /// small part of the memory that they are in: what is kept takes four times what is counted at most.
    pub(crate) fn keep(&self, payload: &[u8]) -> Bytes {
        match payload.len() <= COPIED_MAX || payload.len() < self.memory / WORTH_ITS_MEMORY {
            true => Bytes::copy_from_slice(payload),
            false => self.bytes.slice_ref(payload),
        }
    }
}

/// In memory of its own.
impl From<Bytes> for Message {
    fn from(bytes: Bytes) -> Self {
        Self { memory: bytes.len(), bytes }
    }
}

/// Whatever memory they are in.
impl PartialEq for Message {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Message {}

/// Copying this much takes some tens of nanoseconds. Not to copy costs more: the memory is shared by all whose payloads are in
/// it, and threads that count its users meet over the count.
const COPIED_MAX: usize = 1 << 10;
/// A payload that is less than this part of the memory it came in does not keep it.
const WORTH_ITS_MEMORY: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_takes_four_times_its_bytes_at_most() {
        const MEMORY: usize = 64 << 10;
        let all = Bytes::from(vec![7; MEMORY]);
        let message = Message::in_shared_memory(all.slice(..MEMORY / 2), MEMORY);
        let shares = |len: usize| message.keep(&message.bytes()[..len]).as_ptr() == all.as_ptr();
        assert!(!shares(MEMORY / 4 - 1));
        assert!(shares(MEMORY / 4));

        let alone = Message::from(Bytes::from(vec![7; 2 * COPIED_MAX]));
        assert_ne!(alone.keep(&alone.bytes()[..COPIED_MAX]).as_ptr(), alone.bytes().as_ptr());
        assert_eq!(alone.keep(&alone.bytes()[..=COPIED_MAX]).as_ptr(), alone.bytes().as_ptr());
    }
}

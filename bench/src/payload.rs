//! The bytes of single calls: how they are made and how answers are checked, alike for all peers.

use anyhow::{Result, ensure};

/// What a call sends and should get back. All bytes are ASCII that no text format escapes, so that it is also a string.
#[derive(Debug)]
pub(crate) struct Payload {
    bytes: Vec<u8>,
}

impl Payload {
    /// Of so many bytes, which must be enough for a number.
    pub(crate) fn new(bytes: usize) -> Self {
        assert!(bytes >= NUMBER_BYTES, "a payload has a number");
        Self { bytes: vec![FILLER; bytes] }
    }

    /// The bytes, with this number in the first eight.
    pub(crate) fn numbered(&mut self, number: u32) -> &[u8] {
        for (index, byte) in self.bytes.iter_mut().take(NUMBER_BYTES).enumerate() {
            *byte = b'@' | number.to_be_bytes().get(index / 2).map_or(0, |byte| byte >> (4 * (index % 2)) & 0xf);
        }
        &self.bytes
    }

    /// Sees that what came back is what was numbered last.
    pub(crate) fn check(&self, answer: &[u8]) -> Result<()> {
        ensure!(answer.len() == self.bytes.len(), "{} bytes went and {} came", self.bytes.len(), answer.len());
        ensure!(answer == self.bytes, "other bytes came than went");
        Ok(())
    }
}

/// A number is written as a byte for every four bits.
const NUMBER_BYTES: usize = 2 * size_of::<u32>();
/// What fills a payload behind its number.
const FILLER: u8 = b'x';

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_has_bytes_of_its_own_that_are_ascii() {
        let mut payload = Payload::new(16);
        let mut seen: Vec<_> = (0..32).map(|bit| payload.numbered(1 << bit).to_vec()).collect();
        seen.push(payload.numbered(0).to_vec());
        seen.iter().for_each(|bytes| assert!(bytes.is_ascii()));
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 33);
    }

    #[test]
    fn what_did_not_come_back_as_it_went_is_an_error() {
        let mut payload = Payload::new(16);
        let (old, new) = (payload.numbered(1).to_vec(), payload.numbered(2).to_vec());
        assert!(payload.check(&new).is_ok());
        assert!(payload.check(&old).is_err(), "the answer of another call");
        assert!(payload.check(&new[1..]).is_err(), "short");
        assert!(payload.check(&[new, vec![FILLER]].concat()).is_err(), "long");
    }
}

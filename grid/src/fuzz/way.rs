//! The frames of a stream on their way, and what the way does to them.

use crate::wire::{Header, PayloadBuf, Trailer};

/// A frame on its way, and what it carries.
#[derive(Debug, Clone)]
pub(super) struct Wire {
    pub(super) bytes: Vec<u8>,
    pub(super) items: u32,
    pub(super) credits: u32,
}

impl Wire {
    pub(super) fn new(header: Header, payload: PayloadBuf, trailer: &Trailer, carries: Carries) -> Self {
        let (items, credits) = match carries {
            Carries::Nothing => (0, 0),
            Carries::Item => (1, 0),
            Carries::Credits(credits) => (0, credits),
        };
        Self { bytes: payload.seal(header, trailer, None).as_bytes().to_vec(), items, credits }
    }
}

/// What a frame carries that the account needs to know.
#[derive(Debug, Clone, Copy)]
pub(super) enum Carries {
    Nothing,
    Item,
    Credits(u32),
}

/// What the way does to frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Good,
    Bad,
}

/// The call that all this is about.
pub(super) const MUX: u64 = 7;

//! The opening of a stream, as either end needs it.

use tokio::time::Instant;

use super::link::Link;
use crate::proto::Memory;
use crate::windows::Windows;
use crate::wire::Capabilities;

/// What a stream begins with.
#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) windows: Windows,
    /// Items that the other end may send to begin with.
    pub(crate) granted: u32,
    /// Items that this end may send, if the other end said so.
    pub(crate) credits: Option<u32>,
    /// The number of the first frame of the other end.
    pub(crate) next_seq: u32,
    pub(crate) deadline: Option<Instant>,
}

impl Opening {
    /// Grants a window, or one item while there is little memory. A v1 peer grants itself all of it.
    pub(crate) fn granted(link: &Link, window: u32) -> u32 {
        match link.inflow.memory() {
            Memory::Scarce if link.capabilities.contains(Capabilities::CREDITS) => window.min(1),
            Memory::Scarce | Memory::Plenty => window,
        }
    }
}

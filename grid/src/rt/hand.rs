//! What a writer holds.

use super::lane::Cost;
use crate::wire::{EncodedFrame, Pack};

/// What the writer has taken, to be put into writes.
#[derive(Debug, Default)]
pub(crate) struct Hand {
    pub(super) first: Pack,
    pub(crate) prompt: Pack,
    pub(super) prompt_cost: Cost,
    pub(super) large: Option<EncodedFrame>,
}

impl Hand {
    /// Nothing is left to be put into a write.
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_empty() && self.prompt.is_empty() && self.large.is_none()
    }
}

//! The two ways through an outbox, and what a frame costs there.

use std::ops::AddAssign;

/// How a frame travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    Prompt,
    /// In turns with the large frames of other calls.
    Bulk {
        mux: u64,
    },
}

impl Lane {
    /// Where a frame goes that need not stay behind others of its call.
    pub(crate) fn of(len: usize, mux: u64) -> Self {
        if len > PROMPT_FRAME_MAX { Self::Bulk { mux } } else { Self::Prompt }
    }
}

/// What is given back when frames are written: bytes of room in either lane, and of the budgets for frames that do not
/// wait.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Cost {
    pub(super) prompt: usize,
    pub(super) bulk: usize,
    pub(super) control: usize,
    pub(super) owed: usize,
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.prompt += other.prompt;
        self.bulk += other.bulk;
        self.control += other.control;
        self.owed += other.owed;
    }
}

/// A frame above this size is large. Below it, a copy costs less than what an allocation of its own does in two threads.
const PROMPT_FRAME_MAX: usize = 4 << 10;

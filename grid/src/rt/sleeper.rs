//! The driver of a link as the outbox knows it: at work, or waiting to be woken.

use std::task::Waker;

/// What the driver does, and who wakes it.
#[derive(Debug, Default)]
pub(super) enum Sleeper {
    /// It will look at the queue by itself.
    #[default]
    Awake,
    /// Frames wake it.
    Asleep(Waker),
    /// It cannot write: the end of the link wakes it, frames do not.
    Blocked(Waker),
}

impl Sleeper {
    pub(super) fn wake_for_frames(&mut self) -> Option<Waker> {
        match self {
            Self::Asleep(_) => self.wake(),
            Self::Awake | Self::Blocked(_) => None,
        }
    }

    pub(super) fn wake(&mut self) -> Option<Waker> {
        match std::mem::take(self) {
            Self::Asleep(waker) | Self::Blocked(waker) => Some(waker),
            Self::Awake => None,
        }
    }
}

/// What a driver with nothing to do waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    Frames,
    /// It cannot write.
    End,
}

/// Whether the driver may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sleep {
    Allowed,
    /// What it wants to wait for is there.
    TooLate,
}

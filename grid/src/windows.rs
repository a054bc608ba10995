//! How far the two ends of a stream may run ahead of each other.

/// How many items of a stream may be on their way, in either direction, before the receiving end has taken one.
///
/// Directions are seen from the handler. A v1 peer must be given the same numbers on both sides, as it cannot be told;
/// between grid nodes each side announces what it takes, and the two may differ. They also send no item while 1 MiB of items
/// above 1 KiB have not been taken, so that a stream of large ones holds 1 MiB and one item at most.
///
/// A number is a window for both directions: `Windows::from(16)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    /// Items on their way into the handler; 0 for a stream without any.
    pub inbound: u32,
    /// Items on their way out of the handler. v1 takes 0 for 1.
    pub outbound: u32,
}

impl Windows {
    /// The window of a stream that is given none. With items of some hundred bytes it keeps both ends busy while credits
    /// are on their way; large items are bounded by their bytes instead.
    pub const DEFAULT: u32 = 1024;
    /// The largest window.
    pub const MAX: u32 = 1 << 16;

    /// Items flow out of the handler only.
    #[must_use]
    pub const fn responses(window: u32) -> Self {
        Self { inbound: 0, outbound: window }
    }

    /// Items flow into the handler, and one answer comes out.
    #[must_use]
    pub const fn requests(window: u32) -> Self {
        Self { inbound: window, outbound: 1 }
    }

    pub(crate) fn clamped(self) -> Self {
        Self { inbound: self.inbound.min(Self::MAX), outbound: self.outbound.clamp(1, Self::MAX) }
    }
}

impl Default for Windows {
    fn default() -> Self {
        Self::from(Self::DEFAULT)
    }
}

impl From<u32> for Windows {
    fn from(window: u32) -> Self {
        Self { inbound: window, outbound: window }
    }
}

//! The time of day of a node. Knows no other time: how long something takes is for tokio's clock to say.

use std::time::SystemTime;

/// Where a node looks for the time of day.
#[derive(Debug, Clone, Default)]
pub(crate) enum Clock {
    #[default]
    System,
    /// Each simulated node has a clock of its own.
    #[cfg(feature = "sim")]
    Simulated(crate::sim::Node),
}

impl Clock {
    pub(crate) fn now(&self) -> SystemTime {
        match self {
            Self::System => SystemTime::now(),
            #[cfg(feature = "sim")]
            Self::Simulated(node) => node.now(),
        }
    }
}

//! How often limits were reached.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::LinkError;
use crate::limits::LimitHits;

macro_rules! limits {
    ($($(#[$docs:meta])* $limit:ident $field:ident;)+) => {
        /// One of [`Limits`](crate::Limits).
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Limit {
            $($limit,)+
        }

        impl Limit {
            const COUNT: usize = [$(Self::$limit),+].len();

            /// As the setting is called.
            pub(crate) fn name(self) -> &'static str {
                match self {
                    $(Self::$limit => stringify!($field),)+
                }
            }
        }

        impl Limit {
            pub(crate) fn named(name: &str) -> Option<Self> {
                [$(Self::$limit),+].into_iter().find(|limit| limit.name() == name)
            }
        }

        impl Hits {
            pub(crate) fn read(&self) -> LimitHits {
                LimitHits { $($field: self.of(Limit::$limit).load(Ordering::Relaxed),)+ }
            }
        }
    };
}

limits! {
    MessageBytes message_bytes_max;
    MergeFrames merge_frames_max;
    OutboxBytes outbox_bytes_max;
    ControlBytes control_bytes_max;
    CallsOut calls_out_max;
    CallsIn calls_in_max;
    CallsInBytes calls_in_bytes_max;
    CallsInTotal calls_in_total_max;
    StreamsIn streams_in_max;
    UnreadBytes unread_bytes_max;
    MetadataBytes metadata_bytes_max;
    Guests guests_max;
    Handshakes handshakes_max;
}

/// The peer went beyond a limit, over which its link ends.
pub(super) fn exceeded(limit: Limit, max: usize) -> LinkError {
    LinkError::LimitExceeded { limit: limit.name(), max }
}

/// Counts for each limit, of a connection or of a node.
#[derive(Debug, Default)]
pub(crate) struct Hits {
    counts: [AtomicU64; Limit::COUNT],
    /// Those of the node count too.
    node: Option<Arc<Hits>>,
}

impl Hits {
    pub(crate) fn within(node: &Arc<Self>) -> Self {
        Self { node: Some(Arc::clone(node)), ..Self::default() }
    }

    pub(crate) fn add(&self, limit: Limit) {
        self.of(limit).fetch_add(1, Ordering::Relaxed);
        if let Some(node) = &self.node {
            node.add(limit);
        }
    }

    #[expect(clippy::indexing_slicing, reason = "there is a count for each limit")]
    fn of(&self, limit: Limit) -> &AtomicU64 {
        &self.counts[limit as usize]
    }
}

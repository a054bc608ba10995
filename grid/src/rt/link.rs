//! One live WebSocket of a connection: what its driver, its callers and its handlers share.

use std::sync::{Arc, OnceLock};
use std::task::Waker;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::counts::Counts;
use super::ended::refusal_text;
use super::hits::{Limit, exceeded};
use super::inflow::Inflow;
use super::lane::Lane;
use super::outbox::{Closed, ControlRefused, NoRoom, Outbox, Place, Room};
use super::quota::Quota;
use super::running::Running;
use super::stream::Stream;
use super::table::{NoSlot, Table};
use crate::error::LinkError;
use crate::limits::Limits;
use crate::proto::Remote;
use crate::wire::{Capabilities, EncodedFrame, Flags, Header, InstanceId, Op, PayloadBuf, Trailer};

/// Shared by the driver of a link, the calls made on it and the handlers that run for it.
#[derive(Debug)]
pub(crate) struct Link {
    /// What both sides can take beyond v1.
    pub(crate) capabilities: Capabilities,
    /// [`Flags::CRC`] if what this side sends carries a checksum.
    pub(crate) crc: Flags,
    /// The process at the other end.
    pub(crate) instance: InstanceId,
    /// The largest message that both sides take.
    pub(crate) message_bytes_max: usize,
    pub(crate) table: Table,
    pub(crate) running: Running,
    pub(crate) outbox: Outbox,
    pub(crate) inflow: Arc<Inflow>,
    /// Of the peer, over all its links.
    pub(crate) counts: Arc<Counts>,
    /// The peer said that it is about to leave, and why.
    draining: OnceLock<Box<str>>,
    end: OnceLock<LinkError>,
    ended: CancellationToken,
}

impl Link {
    pub(crate) fn new(remote: &Remote, crc: Flags, limits: &Limits, counts: Arc<Counts>, quota: Arc<Quota>) -> Self {
        // Whatever a peer says, small messages go out.
        let theirs = remote.message_bytes_max.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(usize::MAX);
        let message_bytes_max = limits.message_bytes_max.min(theirs.max(Limits::MESSAGE_BYTES_LEAST));
        let shards = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            capabilities: remote.capabilities,
            crc,
            instance: remote.id,
            message_bytes_max,
            table: Table::new(shards, limits.calls_out_max, fastrand::u32(..)),
            running: Running::new(limits, quota, Arc::clone(&counts)),
            outbox: Outbox::new(limits.outbox_bytes_max, limits.control_bytes_max),
            inflow: Arc::new(Inflow::new(limits.unread_bytes_max, Arc::clone(&counts))),
            counts,
            draining: OnceLock::new(),
            end: OnceLock::new(),
            ended: CancellationToken::new(),
        }
    }

    /// What a payload and its metadata may be, so that the frame around them fits a message.
    pub(crate) fn payload_bytes_max(&self) -> usize {
        self.message_bytes_max.saturating_sub(FRAME_OVERHEAD_MAX)
    }

    /// Ends the link, once: every call made on it ends, every handler that runs for it is dropped, the driver returns.
    /// Gives the reason of the first time.
    pub(crate) fn close(&self, why: LinkError) -> &LinkError {
        let why = self.end.get_or_init(|| {
            if let LinkError::LimitExceeded { limit, .. } = &why {
                Limit::named(limit).into_iter().for_each(|limit| self.counts.hits.add(limit));
            }
            why
        });
        // The outbox first: a call that begins after the sweep of the table finds it closed.
        self.outbox.close();
        self.table.close(why);
        self.running.close(why);
        self.ended.cancel();
        why
    }

    /// Waits for the end of the link.
    pub(crate) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    pub(crate) fn end(&self) -> Option<&LinkError> {
        self.end.get()
    }

    /// Begins a single request, and gives its mux id. `waker` is woken when it has ended, at its deadline at the latest.
    pub(crate) fn begin(&self, deadline: Option<Instant>, waker: Waker) -> Result<u64, NoSlot> {
        let mux = self.table.insert(deadline, waker)?;
        self.watch_deadlines();
        Ok(mux)
    }

    /// Begins a stream, which is made with its mux id, and ends it at its deadline.
    pub(crate) fn begin_stream(&self, new: impl FnOnce(u64) -> Stream) -> Result<Arc<Stream>, NoSlot> {
        let stream = self.table.insert_stream(new)?;
        self.watch_deadlines();
        Ok(stream)
    }

    fn watch_deadlines(&self) {
        if self.table.is_earlier() {
            self.outbox.wake();
        }
    }

    /// Waits for room for a frame of so many bytes.
    pub(crate) async fn room(&self, len: usize, lane: Lane) -> Result<Room<'_>, Closed> {
        match self.outbox.try_room(len, lane) {
            Ok(room) => Ok(room),
            Err(NoRoom::Closed) => Err(Closed),
            Err(NoRoom::Full) => {
                self.counts.hits.add(Limit::OutboxBytes);
                self.outbox.room(len, lane).await
            }
        }
    }

    /// Sends a frame that must not wait, and ends the link if the peer provokes more of them than it reads.
    pub(crate) fn send_control(&self, frame: EncodedFrame, lane: Lane) {
        self.on_pushed(self.push_control(frame, lane));
    }

    /// Sends a ping or pong of the link.
    pub(crate) fn send_beat(&self, frame: EncodedFrame) {
        self.on_pushed(self.outbox.push_control(frame, Place::First));
    }

    /// Queues a frame that must not wait, or not. What came of that is for [`on_pushed`](Self::on_pushed), once no lock
    /// is held.
    pub(crate) fn push_control(&self, frame: EncodedFrame, lane: Lane) -> Result<(), ControlRefused> {
        self.outbox.push_control(frame, Place::InOrder(lane))
    }

    /// The same for a frame without a payload that is for something that the peer did.
    pub(crate) fn push_owed(&self, header: Header, trailer: &Trailer, lane: Lane) -> Result<(), ControlRefused> {
        self.outbox.push_owed(PayloadBuf::with_capacity(0).seal(header, trailer, None), lane)
    }

    /// Ends the link if the peer provokes more than it reads.
    pub(crate) fn on_pushed(&self, pushed: Result<(), ControlRefused>) {
        match pushed {
            Ok(()) | Err(ControlRefused::Closed) => {}
            Err(ControlRefused::Overflow) => {
                self.close(exceeded(Limit::ControlBytes, self.outbox.control_bytes_max()));
            }
        }
    }

    /// Sends a frame without a payload that belongs to a call, must not wait, and that the peer did not provoke.
    pub(crate) fn send_own(&self, header: Header, trailer: &Trailer, lane: Lane) {
        self.outbox.push_own(PayloadBuf::with_capacity(0).seal(header, trailer, None), lane);
    }

    /// Tells the peer that this node is about to leave, if the peer can take it.
    pub(crate) fn send_leaving(&self, reason: &str) {
        if self.capabilities.contains(Capabilities::DRAIN) {
            let payload = PayloadBuf::copy_from(reason.as_bytes());
            let header = Header::new(Op::Disconnect, 0, self.crc | Flags::EOF);
            self.send_control(payload.seal(header, &Trailer::default(), None), Lane::Prompt);
        }
    }

    /// The peer is about to leave.
    pub(crate) fn on_leaving(&self, reason: &[u8]) {
        self.draining.get_or_init(|| refusal_text(reason));
    }

    pub(crate) fn draining(&self) -> Option<&str> {
        self.draining.get().map(AsRef::as_ref)
    }

    /// Waits until no call is in flight in either direction.
    pub(crate) async fn idle(&self) {
        loop {
            self.running.idle().await;
            self.table.idle().await;
            if self.running.len() == 0 {
                return;
            }
        }
    }
}

#[cfg(test)]
impl Link {
    /// For tests of what a link is made of.
    pub(super) fn to_grid_node(limits: &Limits) -> Arc<Self> {
        let remote = Remote { id: [0; 16], capabilities: Capabilities::OWN, message_bytes_max: None };
        let quota = Arc::new(Quota::new(limits.calls_in_total_max, "calls of all peers"));
        Arc::new(Self::new(&remote, Flags::NONE, limits, Arc::default(), quota))
    }
}

/// What a frame needs around its payload and metadata: the tuple, the trailer's own bytes, subroute and checksum.
pub(super) const FRAME_OVERHEAD_MAX: usize = 256;

//! What the two halves of a stream have in common.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::call_info::Direction;
use crate::connection::Connection;
use crate::description::Codec;
use crate::error::{CallError, Refusal};
use crate::middleware::Watch;
use crate::outcome::not_connected;
use crate::proto::{Batch, End};
use crate::rt::{Ended, Link, Next, Stream, refuse_stream};

/// One end of a stream, as a half of it holds it. The connection keeps a guest connected.
pub(crate) struct Half {
    pub(crate) connection: Connection,
    pub(crate) link: Arc<Link>,
    pub(crate) stream: Arc<Stream>,
    pub(crate) codec: Codec,
    /// If the node has middleware.
    pub(crate) watch: Option<Arc<Watch>>,
}

impl Clone for Half {
    fn clone(&self) -> Self {
        let Self { connection, link, stream, codec, watch } = self;
        Self {
            connection: connection.share(),
            link: Arc::clone(link),
            stream: Arc::clone(stream),
            codec: *codec,
            watch: watch.clone(),
        }
    }
}

impl Half {
    pub(crate) fn is_caller(&self) -> bool {
        self.stream.end() == End::Caller
    }

    /// The half was dropped before its end. A handler may drop its halves as it likes: its call ends when it returns.
    pub(crate) fn on_drop(&self) {
        if self.is_caller() && self.stream.cancel(&self.link, Ended::Cancelled) {
            self.end_dropped();
        }
    }

    /// Nobody reads any more how the call ends.
    fn end_dropped(&self) {
        let Some(watch) = self.watch.as_ref().filter(|_| self.is_caller()) else { return };
        match self.link.end() {
            Some(why) => watch.end(&Err(not_connected(why, &self.connection))),
            None => watch.end_dropped(),
        }
    }

    /// What the middleware says to an item.
    pub(crate) fn on_item(&self, direction: Direction, item: &[u8]) -> Result<(), Refusal> {
        self.watch.as_ref().map_or(Ok(()), |watch| watch.on_item(direction, item))
    }

    /// An item that came was refused by the middleware, which ends a stream that this node serves.
    pub(crate) fn on_refused(&self, refusal: &Refusal) {
        if !self.is_caller() && !self.stream.is_over() {
            self.watch.iter().for_each(|watch| watch.end(&Err(CallError::Refused(refusal.clone()))));
            refuse_stream(&self.link, &self.stream, refusal.reason(), refusal.message());
        }
    }

    /// The call has ended, as its caller reads.
    pub(crate) fn on_end<E>(&self, outcome: Result<(), &CallError<E>>) {
        if let Some(watch) = self.watch.as_ref().filter(|_| self.is_caller()) {
            watch.end(&outcome.map_err(CallError::without_value));
        }
    }
}

impl fmt::Debug for Half {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Half")
            .field("remote", &self.connection.remote())
            .field("mux", &self.stream.mux)
            .field("end", &self.stream.end())
            .finish_non_exhaustive()
    }
}

/// The half that reads. Dropping it gives up what was not read.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) half: Half,
    batch: Batch,
}

impl Reader {
    pub(crate) fn new(half: Half) -> Self {
        Self { half, batch: Batch::default() }
    }

    pub(crate) fn poll_next(&mut self, cx: &Context<'_>) -> Poll<Next> {
        self.half.stream.poll_next(&self.half.link, &mut self.batch, cx)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.half.on_drop();
        self.half.end_dropped();
        self.half.stream.discard();
    }
}

//! The items of a stream that go out.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::Sink;
use tokio::sync::Mutex;
use tokio::task::coop::{self, consume_budget};
use tokio_util::sync::ReusableBoxFuture;

use crate::call_info::Direction;
use crate::description::Codec;
use crate::error::{CodecError, SendError};
use crate::half::Half;
use crate::rt::{Limit, NotSent, StreamEnded};
use crate::wire::PayloadBuf;

/// The items of a stream that go out.
///
/// An item is sent against a credit: [`send`](Self::send) waits while the remote has not taken as many items as the
/// method's window lets it fall behind by, and while there is no room on the link. It is also a
/// [`Sink`](https://docs.rs/futures-sink), for `forward` and `send_all`.
///
/// A caller says by [`finish`](Self::finish) that its items have ended. A handler's items end when it returns.
///
/// # Cancel safety
/// A caller that drops it without finishing cancels the call, on the remote too: an input that was cut short is never
/// taken for one that has ended. A handler may drop it at any time.
#[must_use = "dropping it cancels the call"]
pub struct Outbound<T> {
    half: Arc<Half>,
    encode: fn(Codec, &T) -> Result<PayloadBuf, CodecError>,
    /// What the sink took and has not sent, in which case `sink` says so. Goes before all that comes after it.
    parked: Mutex<Option<Parked>>,
    sink: SinkState,
    finished: Finished,
}

type Parked = ReusableBoxFuture<'static, Result<(), StreamEnded>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SinkState {
    Empty,
    /// It took something that could not be sent at once, and that somebody may have sent by now.
    Parked,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Finished {
    No,
    Yes,
}

impl<T> Outbound<T> {
    pub(crate) fn new(half: Half, encode: fn(Codec, &T) -> Result<PayloadBuf, CodecError>) -> Self {
        let finished = if half.stream.sends_items() { Finished::No } else { Finished::Yes };
        Self { half: Arc::new(half), encode, parked: Mutex::default(), sink: SinkState::Empty, finished }
    }

    /// Sends an item. It waits for a credit and for room, not for the remote to have it.
    ///
    /// # Errors
    /// See [`SendError`]. Nothing was sent then, and the stream goes on unless it has ended.
    ///
    /// # Cancel safety
    /// Dropped before its end, it has sent nothing. It lets other tasks run now and then, so that one poll of it may not do,
    /// though there are a credit and room. Items that several tasks send at once go out in any order; a send that
    /// waits and is not polled keeps its place, and others behind it wait.
    pub async fn send(&self, item: T) -> Result<(), SendError> {
        // A loop around it may wait for nothing else: there are credits, or it tries on after the end.
        consume_budget().await;
        if self.finished == Finished::Yes {
            return Err(SendError::Ended);
        }
        let payload = self.payload(&item)?;
        drop(item);
        if self.sink == SinkState::Parked {
            let mut parked = self.parked.lock().await;
            if let Some(sending) = parked.as_mut() {
                let sent = poll_fn(|cx| sending.poll(cx)).await;
                *parked = None;
                sent?;
            }
        }
        Ok(self.half.stream.send(&self.half.link, payload).await?)
    }

    /// Says that the items have ended. What was sent before arrives before the end.
    ///
    /// In a handler this does nothing: its items end when it returns.
    ///
    /// # Errors
    /// [`SendError::Ended`] if the call has ended already.
    ///
    /// # Cancel safety
    /// Dropped before its end, it cancels the call.
    pub async fn finish(mut self) -> Result<(), SendError> {
        poll_fn(|cx| self.poll_close_sink(cx)).await
    }

    fn payload(&self, item: &T) -> Result<PayloadBuf, SendError> {
        let payload = (self.encode)(self.half.codec, item).map_err(SendError::Encode)?;
        let limit = self.half.link.payload_bytes_max();
        match payload.len() > limit {
            true => {
                self.half.connection.peer().counts.hits.add(Limit::MessageBytes);
                Err(SendError::TooLarge { size: payload.len(), limit })
            }
            false => match self.half.on_item(Direction::Out, payload.as_bytes()) {
                Ok(()) => Ok(payload),
                Err(refusal) => Err(SendError::Refused(refusal)),
            },
        }
    }

    /// Waits until what the sink took has been sent.
    fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        let parked = self.parked.get_mut();
        if let Some(sending) = parked {
            let sent = ready!(sending.poll(cx));
            *parked = None;
            sent?;
        }
        self.sink = SinkState::Empty;
        Poll::Ready(Ok(()))
    }

    fn poll_close_sink(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        loop {
            ready!(self.poll_sent(cx))?;
            if self.finished == Finished::Yes {
                return Poll::Ready(Ok(()));
            }
            self.finished = Finished::Yes;
            if self.half.is_caller() {
                let half = Arc::clone(&self.half);
                self.park(async move { half.stream.finish(&half.link).await });
            }
        }
    }

    fn park(&mut self, sending: impl Future<Output = Result<(), StreamEnded>> + Send + 'static) {
        *self.parked.get_mut() = Some(ReusableBoxFuture::new(sending));
        self.sink = SinkState::Parked;
    }
}

impl<T> Sink<T> for Outbound<T> {
    type Error = SendError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        ready!(coop::poll_proceed(cx)).made_progress();
        self.poll_sent(cx)
    }

    /// # Panics
    /// `poll_ready` was not ready before.
    fn start_send(mut self: Pin<&mut Self>, item: T) -> Result<(), SendError> {
        assert!(self.parked.get_mut().is_none(), "a sink is asked by poll_ready before it is given an item");
        if self.finished == Finished::Yes {
            return Err(SendError::Ended);
        }
        let payload = self.payload(&item)?;
        match self.half.stream.try_send(&self.half.link, payload) {
            Ok(()) => {}
            Err(NotSent::Ended) => return Err(SendError::Ended),
            Err(NotSent::Wait(payload)) => {
                let half = Arc::clone(&self.half);
                self.park(async move { half.stream.send(&half.link, payload).await });
            }
        }
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        self.poll_sent(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        self.poll_close_sink(cx)
    }
}

impl<T> Unpin for Outbound<T> {}

impl<T> Drop for Outbound<T> {
    fn drop(&mut self) {
        if self.finished == Finished::No || self.parked.get_mut().is_some() {
            self.half.on_drop();
        }
    }
}

impl<T> fmt::Debug for Outbound<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbound").field("half", &self.half).field("finished", &self.finished).finish_non_exhaustive()
    }
}

//! The items of a stream that go out.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::Sink;
use tokio_util::sync::ReusableBoxFuture;

use crate::description::Codec;
use crate::error::{CodecError, SendError};
use crate::half::Half;
use crate::rt::{NotSent, StreamEnded};
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
    /// What a sink took and has not sent.
    sending: Option<ReusableBoxFuture<'static, Result<(), StreamEnded>>>,
    finished: Finished,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Finished {
    No,
    Yes,
}

impl<T> Outbound<T> {
    pub(crate) fn new(half: Half, encode: fn(Codec, &T) -> Result<PayloadBuf, CodecError>) -> Self {
        let finished = if half.stream.sends_items() { Finished::No } else { Finished::Yes };
        Self { half: Arc::new(half), encode, sending: None, finished }
    }

    /// Sends an item. It waits for a credit and for room, not for the remote to have it.
    ///
    /// # Errors
    /// See [`SendError`]. Nothing was sent then, and the stream goes on unless it has ended.
    ///
    /// # Cancel safety
    /// Dropped before its end, it has sent nothing. Items that several tasks send at once go out in any order.
    pub async fn send(&self, item: T) -> Result<(), SendError> {
        if self.finished == Finished::Yes {
            return Err(SendError::Ended);
        }
        let payload = self.payload(&item)?;
        drop(item);
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
        std::future::poll_fn(|cx| self.poll_close_sink(cx)).await
    }

    fn payload(&self, item: &T) -> Result<PayloadBuf, SendError> {
        let payload = (self.encode)(self.half.codec, item).map_err(SendError::Encode)?;
        let limit = self.half.connection.peer().shared.settings.limits.payload_bytes_max();
        match payload.len() > limit {
            true => Err(SendError::TooLarge { size: payload.len(), limit }),
            false => Ok(payload),
        }
    }

    /// Waits until what the sink took has been sent.
    fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        if let Some(sending) = &mut self.sending {
            let sent = ready!(sending.poll(cx));
            self.sending = None;
            sent?;
        }
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
                self.sending = Some(ReusableBoxFuture::new(async move { half.stream.finish(&half.link).await }));
            }
        }
    }
}

impl<T> Sink<T> for Outbound<T> {
    type Error = SendError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        self.poll_sent(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, item: T) -> Result<(), SendError> {
        if self.finished == Finished::Yes {
            return Err(SendError::Ended);
        }
        let payload = self.payload(&item)?;
        match self.half.stream.try_send(&self.half.link, payload) {
            Ok(()) => {}
            Err(NotSent::Ended) => return Err(SendError::Ended),
            Err(NotSent::Wait(payload)) => {
                let half = Arc::clone(&self.half);
                self.sending = Some(ReusableBoxFuture::new(async move { half.stream.send(&half.link, payload).await }));
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
        if self.finished == Finished::No || self.sending.is_some() {
            self.half.on_drop();
        }
    }
}

impl<T> fmt::Debug for Outbound<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbound").field("half", &self.half).field("finished", &self.finished).finish_non_exhaustive()
    }
}

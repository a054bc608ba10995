//! The items of a stream that come in.

use std::convert::Infallible;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::{FusedStream, Stream};
use tokio::task::coop;

use crate::call_info::Direction;
use crate::error::{CallError, CodecError};
use crate::half::{Half, Reader};
use crate::outcome::Faults;
use crate::proto::Over;
use crate::rt::Next;

/// The items of a stream that come in: a [`Stream`] of results that ends once, with the outcome of its call.
///
/// On the calling side it has the items that a handler sends: `Ok` for each, then the end, or one `Err` and then the end.
/// `E` is the error of the method. Items that were sent before an error come before it.
///
/// A handler takes an `Inbound<T>` as an argument, and has the items that its caller sends. It ends when the caller has
/// finished, and never for another reason: when the caller gives up, its deadline passes or the link is lost, the
/// handler is dropped, and what it gave to other tasks ends with an error.
///
/// Taking an item gives its credit back to the sender, which may run ahead by as many items as the method's window says.
/// An item that is not taken holds up its own stream, and nothing else.
///
/// An item that cannot be decoded, or that a [`Middleware`](crate::Middleware) refuses, is an `Err`, after which a
/// caller's stream is at its end: the call is cancelled. A handler may go on after an item that cannot be decoded; one that
/// is refused has ended its call.
///
/// # Cancel safety
/// Dropping it before its end cancels the call, on the remote too; in a handler the call goes on, and the caller waits
/// with what it has to send for the handler's end. The futures of [`next`](Self::next) and of `StreamExt` lose nothing
/// when they are dropped.
#[must_use = "dropping it cancels the call"]
pub struct Inbound<T, E = Infallible> {
    reader: Reader,
    decode: fn(Bytes) -> Result<T, CodecError>,
    faults: Faults<E>,
    told: Told,
}

/// Whether the end was given, or an error of this side that is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    No,
    Yes,
}

impl<T, E> Inbound<T, E> {
    pub(crate) fn new(half: Half, decode: fn(Bytes) -> Result<T, CodecError>, faults: Faults<E>) -> Self {
        Self { reader: Reader::new(half), decode, faults, told: Told::No }
    }

    /// The next item; `None` after the end.
    ///
    /// # Errors
    /// How the call ended, if not well.
    ///
    /// # Cancel safety
    /// Dropped before its end, it has taken nothing. It lets other tasks run now and then, so that one poll of it may not
    /// do, though an item is there.
    pub async fn next(&mut self) -> Option<Result<T, CallError<E>>> {
        poll_fn(|cx| self.poll_item(cx)).await
    }

    fn poll_item(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, CallError<E>>>> {
        if self.told == Told::Yes {
            return Poll::Ready(None);
        }
        // A loop around it may wait for nothing else, as long as the other end is quicker.
        let turn = ready!(coop::poll_proceed(cx));
        let next = ready!(self.reader.poll_next(cx));
        turn.made_progress();
        let half = &self.reader.half;
        let item = match next {
            Next::Item(bytes) => match half.on_item(Direction::In, &bytes) {
                Ok(()) => (self.decode)(bytes).map_err(CallError::Decode),
                Err(refusal) => {
                    half.on_refused(&refusal);
                    Err(CallError::Refused(refusal))
                }
            },
            Next::Over(Over::Because(ended)) => Err(self.faults.error(ended, &half.connection)),
            Next::Over(Over::Finished) | Next::Told => {
                half.on_end::<E>(Ok(()));
                self.told = Told::Yes;
                return Poll::Ready(None);
            }
        };
        if let Err(error) = &item
            && half.is_caller()
        {
            half.on_end(Err(error));
            half.on_drop();
            self.told = Told::Yes;
        }
        Poll::Ready(Some(item))
    }
}

impl<T, E> Stream for Inbound<T, E> {
    type Item = Result<T, CallError<E>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_item(cx)
    }
}

impl<T, E> FusedStream for Inbound<T, E> {
    fn is_terminated(&self) -> bool {
        self.told == Told::Yes
    }
}

impl<T, E> Unpin for Inbound<T, E> {}

impl<T, E> fmt::Debug for Inbound<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbound").field("half", &self.reader.half).finish_non_exhaustive()
    }
}

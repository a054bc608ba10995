//! The one answer to a stream of requests.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::FusedFuture;

use crate::error::{CallError, CodecError};
use crate::half::{Half, Reader};
use crate::outcome::Faults;
use crate::proto::Over;
use crate::rt::{Ended, Next};

/// The answer to a call whose arguments go on as a stream, as a future.
///
/// The handler may answer before the items have ended: then sending them ends with
/// [`SendError::Ended`](crate::SendError::Ended), and the outcome is here.
///
/// The handler's input has not ended before the [`Outbound`](crate::Outbound) was finished: awaiting the answer first
/// waits for ever, or until the deadline.
///
/// # Panics
/// When it is polled after it was ready.
///
/// # Cancel safety
/// Dropping it before its end cancels the call, on the remote too.
///
/// # Errors
/// See [`CallError`].
#[must_use = "dropping it cancels the call"]
pub struct AnswerFuture<T, E> {
    reader: Reader,
    /// What came, until it is known to be all.
    answer: Option<Bytes>,
    decode: fn(Bytes) -> Result<T, CodecError>,
    faults: Faults<E>,
    given: Given,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Given {
    No,
    Yes,
}

impl<T, E> AnswerFuture<T, E> {
    pub(crate) fn new(half: Half, decode: fn(Bytes) -> Result<T, CodecError>, faults: Faults<E>) -> Self {
        Self { reader: Reader::new(half), answer: None, decode, faults, given: Given::No }
    }

    fn poll_outcome(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, CallError<E>>> {
        loop {
            let next = ready!(self.reader.poll_next(cx));
            let Half { connection, link, stream, .. } = &self.reader.half;
            match next {
                Next::Item(answer) if self.answer.is_none() => self.answer = Some(answer),
                Next::Item(_) => {
                    stream.cancel(link, Ended::Cancelled);
                    return Poll::Ready(Err(CallError::Decode(CodecError::new("the remote sent a second answer"))));
                }
                Next::Over(Over::Because(ended)) => return Poll::Ready(Err(self.faults.error(ended, connection))),
                Next::Over(Over::Finished) => {
                    let answer = self.answer.take().unwrap_or_default();
                    return Poll::Ready((self.decode)(answer).map_err(CallError::Decode));
                }
                Next::Told => panic!("an answer was polled after it was given"),
            }
        }
    }
}

impl<T, E> Future for AnswerFuture<T, E> {
    type Output = Result<T, CallError<E>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = ready!(self.poll_outcome(cx));
        self.given = Given::Yes;
        self.reader.half.on_end(outcome.as_ref().map(|_| ()));
        Poll::Ready(outcome)
    }
}

impl<T, E> FusedFuture for AnswerFuture<T, E> {
    fn is_terminated(&self) -> bool {
        self.given == Given::Yes
    }
}

impl<T, E> Unpin for AnswerFuture<T, E> {}

impl<T, E> fmt::Debug for AnswerFuture<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerFuture").field("half", &self.reader.half).finish_non_exhaustive()
    }
}

//! What a link writes: messages put together out of frames, a bounded write at a time.

use std::future::Future;
use std::io::{Cursor, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::AsyncWrite;
use tokio::time::{Sleep, sleep};
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::hand::Hand;
use super::outbox::{Outbox, Taken};
use super::socket::{Socket, closed};
use super::websocket::{HEADER_MAX, Masks, apply_mask, put_frame, put_header};
use crate::error::LinkError;
use crate::spare;
use crate::wire::{EncodedFrame, Packed};

/// Whole messages on their way to the socket. Driven by the [`Driver`](super::driver::Driver) of the link.
///
/// Small frames are merged and copied into one buffer, up to [`WRITE_BYTES`] at a time; large ones are written from where
/// they were encoded, behind those in the same system call.
#[derive(Debug)]
pub(super) struct Writer {
    masks: Masks,
    hand: Hand,
    out: Vec<u8>,
    /// Whole messages that go after `out`.
    large: Vec<EncodedFrame>,
    large_bytes: usize,
    /// Of `out` and `large`.
    written: usize,
    /// Pongs and closes that the peer provoked, to go between messages.
    provoked: Vec<u8>,
    message_bytes_max: usize,
    /// Runs while the socket takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
    patience: Duration,
}

impl Writer {
    /// `patience` is how long the socket may take nothing.
    pub(super) fn new(masks: Masks, message_bytes_max: usize, patience: Duration) -> Self {
        Self {
            masks,
            hand: Hand::default(),
            out: Vec::new(),
            large: Vec::new(),
            large_bytes: 0,
            written: 0,
            provoked: Vec::new(),
            message_bytes_max,
            stalled: None,
            patience,
        }
    }

    pub(super) fn patience(&self) -> Duration {
        self.patience
    }

    /// Everything that was put together has been written.
    pub(super) fn is_idle(&self) -> bool {
        self.out.is_empty() && self.large.is_empty() && self.provoked.is_empty() && self.hand.is_empty()
    }

    /// Puts what is next together, up to a write. Gives the number of messages, and whether there is more to come.
    pub(super) fn fill(&mut self, outbox: &Outbox) -> (u64, Taken) {
        self.out.append(&mut self.provoked);
        let mut messages = 0;
        loop {
            let bytes = WRITE_BYTES.saturating_sub(self.out.len());
            if bytes == 0 || self.large_bytes >= LARGE_BYTES || self.large.len() + 1 >= PARTS {
                return (messages, Taken::Some);
            }
            // What is small goes before what is large: not behind what of that is in this write already.
            let bytes = if self.large.is_empty() { bytes } else { 0 };
            let taken = outbox.take(bytes, &mut self.hand);
            if self.hand.is_empty() || (bytes == 0 && self.hand.large.is_none()) {
                return (messages, taken);
            }
            messages += self.put(bytes);
        }
    }

    /// Puts this many bytes of small frames into the write, or all, and the large one behind them.
    fn put(&mut self, bytes: usize) -> u64 {
        let (mut messages, out, masks) = (0, &mut self.out, self.masks);
        while let Some(message) = self.hand.first.next_message(self.message_bytes_max) {
            put_message(message, masks, out);
            messages += 1;
        }
        let rest = self.hand.prompt.bytes().saturating_sub(bytes);
        while self.hand.prompt.bytes() > rest
            && let Some(message) = self.hand.prompt.next_message(self.message_bytes_max)
        {
            put_message(message, masks, out);
            messages += 1;
        }
        if let Some(mut frame) = self.hand.large.take() {
            messages += 1;
            if frame.len() <= COPIED_MAX && self.large.is_empty() {
                put_message(Packed::One(frame.as_bytes()), masks, out);
                spare::keep(frame);
            } else {
                let mut header = Cursor::new([0; HEADER_MAX]);
                if let Some(mask) = put_header(&mut header, OpCode::Data(Data::Binary), masks, frame.len()) {
                    apply_mask(frame.as_bytes_mut(), mask);
                }
                let len = usize::try_from(header.position()).unwrap_or(0);
                frame.prepend(header.get_ref().get(..len).unwrap_or_default());
                self.large_bytes += frame.len();
                self.large.push(frame);
            }
        }
        messages
    }

    /// Writes what was put together. Ready when all is written.
    pub(super) fn poll_out(&mut self, socket: &mut Socket, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        let all = self.out.len() + self.large_bytes;
        while self.written < all {
            let written = match (self.out.get(self.written..), self.large.as_slice()) {
                (Some(out), []) => Pin::new(&mut *socket).poll_write(cx, out),
                _ => {
                    let mut parts = [IoSlice::new(&[]); PARTS];
                    let parts = self.rest(&mut parts);
                    Pin::new(&mut *socket).poll_write_vectored(cx, parts)
                }
            };
            match written {
                Poll::Ready(Ok(written)) => {
                    self.written += written;
                    self.stalled = None;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(closed(&error))),
                Poll::Pending => return self.poll_stalled(cx),
            }
        }
        self.written = 0;
        self.out.clear();
        self.large.drain(..).for_each(spare::keep);
        self.large_bytes = 0;
        Poll::Ready(Ok(()))
    }

    /// What is still to be written, as far as it fits.
    fn rest<'a, 'b>(&'a self, parts: &'b mut [IoSlice<'a>; PARTS]) -> &'b [IoSlice<'a>] {
        let mut skip = self.written;
        let mut filled = 0;
        for whole in [self.out.as_slice()].into_iter().chain(self.large.iter().map(EncodedFrame::as_bytes)) {
            let rest = whole.get(skip..).unwrap_or_default();
            skip = skip.saturating_sub(whole.len());
            let Some(part) = parts.get_mut(filled).filter(|_| !rest.is_empty()) else { continue };
            *part = IoSlice::new(rest);
            filled += 1;
        }
        parts.get(..filled).unwrap_or_default()
    }

    pub(super) fn poll_flush(&mut self, socket: &mut Socket, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        match Pin::new(socket).poll_flush(cx) {
            Poll::Ready(flushed) => {
                self.stalled = None;
                Poll::Ready(flushed.map_err(|error| closed(&error)))
            }
            Poll::Pending => self.poll_stalled(cx),
        }
    }

    /// Writes what was begun and the answer to a close, as nothing may follow that.
    pub(super) fn poll_last_words(&mut self, socket: &mut Socket, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        ready!(self.poll_out(socket, cx))?;
        self.out.append(&mut self.provoked);
        ready!(self.poll_out(socket, cx))?;
        self.poll_flush(socket, cx)
    }

    /// The socket takes nothing: for how long still?
    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(self.patience)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(LinkError::WriteTimeout))
    }

    /// Answers the peer on the level of WebSocket.
    ///
    /// # Errors
    /// It provokes more of that than it reads.
    pub(super) fn provoke(&mut self, control: Control, payload: &[u8]) -> Result<(), LinkError> {
        if self.provoked.len() > PROVOKED_MAX {
            return Err(LinkError::Protocol("it provokes more pongs than it reads".into()));
        }
        put_frame(&mut self.provoked, OpCode::Control(control), self.masks, payload.len(), |out| {
            out.extend_from_slice(payload);
        });
        Ok(())
    }

    /// Gives back what memory is not in use just now. To be called once in a while, as a busy link soon takes it again.
    pub(super) fn shrink(&mut self, outbox: &Outbox) {
        outbox.shrink(&mut self.hand);
        if self.out.is_empty() {
            self.out = Vec::new();
        }
    }
}

/// One unfragmented binary WebSocket message.
fn put_message(message: Packed<'_>, masks: Masks, out: &mut Vec<u8>) {
    put_frame(out, OpCode::Data(Data::Binary), masks, message.encoded_len(), |out| message.put(out));
}

/// Bytes of small frames that go into one write: large enough that a system call costs little beside it, small enough that
/// what is queued behind waits some tens of microseconds.
pub(super) const WRITE_BYTES: usize = 64 << 10;
/// Bytes of large frames beyond which no further one goes into the same write: with a frame of 64 KiB, one more.
const LARGE_BYTES: usize = 128 << 10;
/// Parts of a write: the small frames, and as many large ones as get below `LARGE_BYTES` and one more.
const PARTS: usize = 2 + LARGE_BYTES / COPIED_MAX;
/// A large frame up to this size goes through the buffer as well, so that several of them share a system call.
const COPIED_MAX: usize = 16 << 10;
/// Bytes of WebSocket pongs that may wait: five hundred of the largest.
const PROVOKED_MAX: usize = 64 << 10;

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;

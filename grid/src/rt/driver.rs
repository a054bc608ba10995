//! The one task of a link: it reads, dispatches, and writes.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use tokio::io::AsyncWrite;
use tokio::time::{Instant, Interval, MissedTickBehavior, Sleep, interval, interval_at, sleep};
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::dispatch::Dispatcher;
use super::link::Link;
use super::node::Settings;
use super::outbox::Taken;
use super::serve_stream;
use super::socket::{Socket, WebSocket, closed};
use super::websocket::{Masks, Received, put_frame};
use crate::error::LinkError;
use crate::proto::{Beat, Moved};
use crate::wire::{EncodedFrame, Flags, Header, Merge, Op, PayloadBuf, Trailer};

/// A future that ends with the link.
///
/// Reading and writing are two halves that do not wait for each other: both are tried at each poll. Writing takes what
/// is queued, merges it into messages, and puts up to [`WRITE_BYTES`] of them into one write.
#[derive(Debug)]
pub(crate) struct Driver {
    ws: WebSocket,
    link: Arc<Link>,
    dispatcher: Dispatcher,
    ticks: Interval,
    /// Polled while there are streams.
    stream_ticks: Interval,
    /// Bytes in at the last tick of streams.
    stream_bytes_in: u64,
    /// Bytes in and out at the last tick.
    moved: (u64, u64),
    writer: Writer,
    /// Runs once all is written on a link that this side ends.
    lingering: Option<Pin<Box<Sleep>>>,
}

/// Whole messages on their way to the socket.
#[derive(Debug)]
struct Writer {
    out: Vec<u8>,
    written: usize,
    /// Pongs and closes that the peer provoked, to go between messages.
    provoked: Vec<u8>,
    frames: Vec<EncodedFrame>,
    message_bytes_max: usize,
    /// Runs while the socket takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
    patience: Duration,
}

/// Whether reading stopped because there is nothing more for now.
#[derive(Debug, PartialEq, Eq)]
enum Read {
    All,
    /// There may be more; others are to have their turn first.
    Some,
}

impl Driver {
    pub(crate) fn new(ws: WebSocket, dispatcher: Dispatcher, settings: &Settings) -> Self {
        let Settings { limits, timeouts, .. } = settings;
        let counts = &dispatcher.link.counts;
        let moved = (counts.bytes_in.load(Ordering::Relaxed), counts.bytes_out.load(Ordering::Relaxed));
        let mut ticks = interval_at(Instant::now() + timeouts.ping_interval, timeouts.ping_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stream_ticks = interval((timeouts.stream_ping_interval / STREAM_TICKS).max(Duration::from_millis(1)));
        stream_ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let writer = Writer {
            out: Vec::new(),
            written: 0,
            provoked: Vec::new(),
            frames: Vec::new(),
            message_bytes_max: limits.message_bytes_max,
            stalled: None,
            patience: timeouts.write,
        };
        Self {
            ws,
            link: Arc::clone(&dispatcher.link),
            dispatcher,
            ticks,
            stream_ticks,
            stream_bytes_in: moved.0,
            moved,
            writer,
            lingering: None,
        }
    }

    pub(crate) fn link(&self) -> Arc<Link> {
        Arc::clone(&self.link)
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Result<Read, LinkError> {
        for _ in 0..READS_PER_POLL {
            // Ended by another thread, perhaps within a merge: what follows would seem out of order.
            if let Some(why) = self.link.end() {
                return Err(why.clone());
            }
            let Poll::Ready(received) = self.ws.poll_receive(cx) else { return Ok(Read::All) };
            match received? {
                Received::Message(bytes) => {
                    self.link.counts.messages_in.fetch_add(1, Ordering::Relaxed);
                    self.dispatcher.on_message(&bytes)?;
                }
                Received::Ping(payload) => self.writer.provoke(Control::Pong, self.ws.masks, &payload)?,
                Received::Close(payload) => {
                    self.writer.provoke(Control::Close, self.ws.masks, &payload)?;
                    return Err(LinkError::Closed("the websocket was closed".into()));
                }
                Received::Nothing => {}
            }
        }
        Ok(Read::Some)
    }

    /// Writes until there is nothing left to write (`Ready`) or the socket takes no more.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<Taken, LinkError>> {
        loop {
            ready!(self.writer.poll_out(&mut self.ws.socket, cx))?;
            self.writer.out.append(&mut self.writer.provoked);
            let taken = self.link.outbox.take(WRITE_BYTES, &mut self.writer.frames);
            if self.writer.frames.is_empty() && self.writer.out.is_empty() {
                ready!(self.writer.poll_flush(&mut self.ws.socket, cx))?;
                return Poll::Ready(Ok(taken));
            }
            let messages = self.writer.merge(self.ws.masks);
            self.link.counts.messages_out.fetch_add(messages, Ordering::Relaxed);
        }
    }

    /// Writes what was begun and the answer to a close, as nothing may follow that.
    fn poll_last_words(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        ready!(self.writer.poll_out(&mut self.ws.socket, cx))?;
        self.writer.out.append(&mut self.writer.provoked);
        ready!(self.writer.poll_out(&mut self.ws.socket, cx))?;
        self.writer.poll_flush(&mut self.ws.socket, cx)
    }

    /// Everything is written: waits for the peer to have read it.
    fn poll_lingering(&mut self, cx: &mut Context<'_>) -> Result<(), LinkError> {
        let patience = self.writer.patience;
        let limit = self.lingering.get_or_insert_with(|| Box::pin(sleep(patience)));
        match self.ws.socket.poll_linger(cx).is_ready() || limit.as_mut().poll(cx).is_ready() {
            true => Err(LinkError::ShutDown),
            false => Ok(()),
        }
    }

    fn moved(&mut self) -> Moved {
        let counts = &self.link.counts;
        let moved = (counts.bytes_in.load(Ordering::Relaxed), counts.bytes_out.load(Ordering::Relaxed));
        let before = std::mem::replace(&mut self.moved, moved);
        match moved.0 != before.0 || (moved.1 != before.1 && !self.writer.out.is_empty()) {
            true => Moved::Something,
            false => Moved::Nothing,
        }
    }

    fn poll_ticks(&mut self, cx: &mut Context<'_>) -> Result<(), LinkError> {
        while self.ticks.poll_tick(cx).is_ready() {
            let now = Instant::now().into_std();
            let moved = self.moved();
            match self.dispatcher.liveness.on_tick(now, SystemTime::now().into(), moved) {
                Beat::Dead => return Err(LinkError::Dead),
                Beat::Send(ping) => {
                    let mut payload = PayloadBuf::new();
                    ping.put(payload.writer());
                    let header = Header { deadline_ms: PING_DEADLINE_MS, ..Header::new(Op::Ping, 0, Flags::NONE) };
                    self.link.send_beat(payload.seal(header, &Trailer::default(), None));
                }
            }
        }
        while self.link.inflow.streams() > 0 && self.stream_ticks.poll_tick(cx).is_ready() {
            let bytes_in = self.link.counts.bytes_in.load(Ordering::Relaxed);
            let moved = match std::mem::replace(&mut self.stream_bytes_in, bytes_in) == bytes_in {
                true => Moved::Nothing,
                false => Moved::Something,
            };
            serve_stream::on_tick(&self.link, Instant::now().into_std(), moved);
        }
        Ok(())
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Result<(), LinkError> {
        // First, as everything below may find out that it has to wait.
        self.link.outbox.register(cx);
        if self.lingering.is_some() {
            return self.poll_lingering(cx);
        }
        let read = match self.poll_read(cx) {
            Ok(read) => read,
            Err(why) => {
                // As far as it can be written at once.
                let _written = self.poll_last_words(cx);
                return Err(why);
            }
        };
        // After reading, so that a pong that came while this process stood still is seen before its absence is.
        self.poll_ticks(cx)?;
        if let Poll::Ready(written) = self.poll_write(cx)
            && written? == Taken::Finished
        {
            return self.poll_lingering(cx);
        }
        if read == Read::Some {
            cx.waker().wake_by_ref();
        }
        match self.link.end() {
            Some(why) => Err(why.clone()),
            None => Ok(()),
        }
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match self.poll_end(cx) {
            Ok(()) => Poll::Pending,
            Err(why) => {
                self.link.close(why);
                Poll::Ready(())
            }
        }
    }
}

impl Writer {
    /// Writes what is there. Ready when all is written.
    fn poll_out(&mut self, socket: &mut Socket, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        while let Some(rest) = self.out.get(self.written..).filter(|rest| !rest.is_empty()) {
            match Pin::new(&mut *socket).poll_write(cx, rest) {
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
        // Grown by a huge message, it would keep its memory for as long as the link lives.
        if self.out.capacity() > OUT_KEPT {
            self.out = Vec::new();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&mut self, socket: &mut Socket, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        match Pin::new(socket).poll_flush(cx) {
            Poll::Ready(flushed) => {
                self.stalled = None;
                Poll::Ready(flushed.map_err(|error| closed(&error)))
            }
            Poll::Pending => self.poll_stalled(cx),
        }
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
    fn provoke(&mut self, control: Control, masks: Masks, payload: &[u8]) -> Result<(), LinkError> {
        if self.provoked.len() > PROVOKED_MAX {
            return Err(LinkError::Protocol("it provokes more pongs than it reads".into()));
        }
        let put = |out: &mut Vec<u8>| out.extend_from_slice(payload);
        put_frame(&mut self.provoked, OpCode::Control(control), masks, payload.len(), put);
        Ok(())
    }

    /// Puts the frames into as few messages as the rules of merging allow. Gives the number of messages.
    fn merge(&mut self, masks: Masks) -> u64 {
        let mut messages = 0;
        let mut merge = Merge::new(self.message_bytes_max);
        for frame in &self.frames {
            if !merge.has_room(frame.len()) {
                put_message(&merge, masks, &mut self.out);
                messages += 1;
                merge.clear();
            }
            merge.push(frame.as_bytes());
        }
        if !merge.is_empty() {
            put_message(&merge, masks, &mut self.out);
            messages += 1;
        }
        self.frames.clear();
        messages
    }
}

/// One unfragmented binary WebSocket message.
fn put_message(merge: &Merge<'_>, masks: Masks, out: &mut Vec<u8>) {
    put_frame(out, OpCode::Data(Data::Binary), masks, merge.encoded_len(), |out| merge.put(out));
}

/// Bytes of frames that go into one write: large enough that a system call costs little beside it, small enough that
/// what is queued behind waits some tens of microseconds.
const WRITE_BYTES: usize = 64 << 10;
/// Capacity of the write buffer that is kept.
const OUT_KEPT: usize = 2 * WRITE_BYTES;
/// Messages that are dispatched before writing has its turn.
const READS_PER_POLL: usize = 64;
/// Bytes of WebSocket pongs that may wait: five hundred of the largest.
const PROVOKED_MAX: usize = 64 << 10;
/// Looks at the streams per interval of their pings: one each second.
const STREAM_TICKS: u32 = 15;
/// What v1 peers put into a ping, and nobody reads.
const PING_DEADLINE_MS: u32 = 10_000;

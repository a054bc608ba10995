//! The one task of a link: it reads, dispatches, and writes.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, Sleep, interval, interval_at, sleep, sleep_until};
use tungstenite::protocol::frame::coding::Control;

use super::dispatch::Dispatcher;
use super::ended::Ended;
use super::link::Link;
use super::node::Settings;
use super::outbox::Taken;
use super::serve_stream;
use super::sleeper::{Sleep as OutboxSleep, Until};
use super::socket::WebSocket;
use super::websocket::Received;
use super::writer::Writer;
use crate::error::LinkError;
use crate::proto::{Beat, Moved};
use crate::spare;
use crate::wire::{Flags, Header, Op, PayloadBuf, Trailer};

/// A future that ends with the link.
///
/// Reading and writing are two halves that do not wait for each other: both are tried at each poll.
///
/// What is queued is written at once if nothing else is in flight. Else the driver first lets the tasks that are ready to
/// run have their turn, once, so that what they have to send goes into the same write.
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
    gathering: Gathering,
    /// When the deadline of a call has to be looked at.
    deadline: Option<Pin<Box<Sleep>>>,
    /// Runs once all is written on a link that this side ends.
    lingering: Option<Pin<Box<Sleep>>>,
}

/// Whether reading stopped because there is nothing more for now.
#[derive(Debug, PartialEq, Eq)]
enum Read {
    All,
    /// There may be more; others are to have their turn first.
    Some,
}

/// Whether the tasks that are ready to run are given their turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gathering {
    /// They have had it, or need not have it yet.
    NotYet,
    Now,
}

impl Driver {
    pub(crate) fn new(ws: WebSocket, dispatcher: Dispatcher, settings: &Settings) -> Self {
        let timeouts = &settings.timeouts;
        let counts = &dispatcher.link.counts;
        let moved = (counts.bytes_in.load(Ordering::Relaxed), counts.bytes_out.load(Ordering::Relaxed));
        let mut ticks = interval_at(Instant::now() + timeouts.ping_interval, timeouts.ping_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stream_ticks = interval((timeouts.stream_ping_interval / STREAM_TICKS).max(Duration::from_millis(1)));
        stream_ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let writer = Writer::new(ws.masks, dispatcher.link.message_bytes_max, timeouts.write);
        Self {
            ws,
            link: Arc::clone(&dispatcher.link),
            dispatcher,
            ticks,
            stream_ticks,
            stream_bytes_in: moved.0,
            moved,
            writer,
            gathering: Gathering::NotYet,
            deadline: None,
            lingering: None,
        }
    }

    pub(crate) fn link(&self) -> Arc<Link> {
        Arc::clone(&self.link)
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Result<Read, LinkError> {
        self.dispatcher.begin_turn();
        while !self.dispatcher.is_turn_over() {
            // Ended by another thread, perhaps within a merge: what follows would seem out of order.
            if let Some(why) = self.link.end() {
                return Err(why.clone());
            }
            let Poll::Ready(received) = self.ws.poll_receive(cx) else { return Ok(Read::All) };
            match received? {
                Received::Message(message) => {
                    self.link.counts.messages_in.fetch_add(1, Ordering::Relaxed);
                    self.dispatcher.on_message(&message)?;
                }
                Received::Ping(payload) => self.writer.provoke(Control::Pong, &payload)?,
                Received::Close(payload) => {
                    self.writer.provoke(Control::Close, &payload)?;
                    return Err(LinkError::Closed("the websocket was closed".into()));
                }
                Received::Nothing => self.dispatcher.on_nothing(),
            }
        }
        Ok(Read::Some)
    }

    /// Writes until there is nothing left to write (`Ready`) or the socket takes no more.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<Taken, LinkError>> {
        loop {
            ready!(self.writer.poll_out(&mut self.ws.socket, cx))?;
            let (messages, taken) = self.writer.fill(&self.link.outbox);
            if self.writer.is_idle() {
                ready!(self.writer.poll_flush(&mut self.ws.socket, cx))?;
                return Poll::Ready(Ok(taken));
            }
            self.link.counts.messages_out.fetch_add(messages, Ordering::Relaxed);
        }
    }

    /// Everything is written: waits for the peer to have read it.
    fn poll_lingering(&mut self, cx: &mut Context<'_>) -> Result<(), LinkError> {
        let patience = self.writer.patience();
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
        match moved.0 != before.0 || (moved.1 != before.1 && !self.writer.is_idle()) {
            true => Moved::Something,
            false => Moved::Nothing,
        }
    }

    fn poll_ticks(&mut self, cx: &mut Context<'_>) -> Result<(), LinkError> {
        while self.ticks.poll_tick(cx).is_ready() {
            self.writer.shrink(&self.link.outbox);
            self.ws.shrink();
            self.link.running.shrink();
            spare::shrink();
            let now = Instant::now().into_std();
            let moved = self.moved();
            let time_of_day = self.dispatcher.peer.shared.settings.clock.now();
            match self.dispatcher.liveness.on_tick(now, time_of_day.into(), moved) {
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

    /// Ends the calls whose deadlines have passed.
    fn poll_deadlines(&mut self, cx: &mut Context<'_>) {
        loop {
            if self.link.table.is_earlier() {
                let next = self.link.table.next_deadline();
                self.deadline = next.map(|next| Box::pin(sleep_until(next)));
            }
            let Some(deadline) = &mut self.deadline else { return };
            if deadline.as_mut().poll(cx).is_pending() {
                return;
            }
            for stream in self.link.table.expire(Instant::now()) {
                stream.cancel(&self.link, Ended::Deadline);
            }
            let next = self.link.table.next_deadline();
            self.deadline = next.map(|next| Box::pin(sleep_until(next)));
        }
    }

    /// Whether others should have their turn before what is queued is written.
    fn gather(&mut self) -> Gathering {
        let link = &self.link;
        self.gathering = match self.gathering {
            Gathering::NotYet
                if self.writer.is_idle()
                    && link.outbox.is_small()
                    && link.table.in_flight() + link.running.len() > 1 =>
            {
                Gathering::Now
            }
            Gathering::NotYet | Gathering::Now => Gathering::NotYet,
        };
        self.gathering
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Result<Until, LinkError> {
        self.link.outbox.awake();
        if self.lingering.is_some() {
            self.poll_deadlines(cx);
            self.poll_lingering(cx)?;
            return Ok(Until::End);
        }
        let read = self.poll_read(cx);
        self.dispatcher.wakes.wake();
        let read = match read {
            Ok(read) => read,
            Err(why) => {
                // As far as it can be written at once.
                let _written = self.writer.poll_last_words(&mut self.ws.socket, cx);
                return Err(why);
            }
        };
        // After reading, so that a pong that came while this process stood still is seen before its absence is.
        self.poll_ticks(cx)?;
        self.poll_deadlines(cx);
        if self.gather() == Gathering::Now {
            // Not tokio's own yield: it would keep the driver on this thread, which one of the others may block.
            cx.waker().wake_by_ref();
            return Ok(Until::End);
        }
        let until = match self.poll_write(cx)? {
            Poll::Ready(Taken::Finished) => {
                self.poll_lingering(cx)?;
                return Ok(Until::End);
            }
            Poll::Ready(Taken::Some | Taken::None) => Until::Frames,
            Poll::Pending => Until::End,
        };
        if read == Read::Some {
            cx.waker().wake_by_ref();
        }
        Ok(until)
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let ended = self.poll_end(cx).and_then(|until| {
            // A call that began since deadlines were looked at found the driver awake, and woke nobody.
            if self.link.outbox.sleep(until, cx.waker()) == OutboxSleep::TooLate || self.link.table.is_earlier() {
                cx.waker().wake_by_ref();
            }
            self.link.end().map_or(Ok(()), |why| Err(why.clone()))
        });
        match ended {
            Ok(()) => Poll::Pending,
            Err(why) => {
                self.link.close(why);
                Poll::Ready(())
            }
        }
    }
}

/// Looks at the streams per interval of their pings: one each second.
const STREAM_TICKS: u32 = 15;
/// What v1 peers put into a ping, and nobody reads.
const PING_DEADLINE_MS: u32 = 10_000;

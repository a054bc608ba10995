//! A call that runs: from its request to its one outcome, or, for a stream, to its opening.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::task::coop;
use tokio::time::Instant;
use tracing::Span;

use crate::asked::{self, Asking};
use crate::call::{Call, Shape};
use crate::connection::Connection;
use crate::error::{CallError, LinkError, Refusal};
use crate::half::Half;
use crate::middleware::Watch;
use crate::outcome::{Faults, not_connected};
use crate::proto::{End, Over, cancellation};
use crate::rt::{Cancelled, Closed, Ended, Lane, Limit, Link, LinkRef, Opening, Stream, TryPush};
use crate::spare;
use crate::start::{Deadline, not_begun, span, trailer, usable_link};
use crate::windows::Windows;
use crate::wire::{Capabilities, EncodedFrame, Flags, HandlerId, Header, Op, RefusalReason, Trailer};

/// The future of a [`Call`]. Dropping it cancels the call, on the remote too.
#[must_use = "a call does nothing until it is awaited"]
pub struct CallFuture<T, E> {
    stage: Stage<T, E>,
    span: Span,
}

enum Stage<T, E> {
    New(Call<T, E>),
    /// The middleware of the node has it.
    Asking {
        call: Call<T, E>,
        asking: Asking,
    },
    /// Waits for room in the outbox.
    Sending {
        room: Pin<Box<dyn Future<Output = Result<(), Closed>> + Send>>,
        lane: Lane,
        waiting: Waiting,
        then: Then<T, E>,
    },
    /// Waits for the answer.
    Sent {
        waiting: Waiting,
        then: Then<T, E>,
    },
    /// It has ended before anything was sent. Who makes such calls in a loop waits for nothing, so others are given
    /// their turn now and then before the end is told.
    Failed(CallError<E>),
    Done,
}

/// What is needed once the call has ended, or the stream is open.
struct Then<T, E> {
    connection: Connection,
    handler: HandlerId,
    label: Option<(&'static str, &'static str)>,
    shape: Shape<T, E>,
    faults: Faults<E>,
    watch: Option<Arc<Watch>>,
}

/// A slot in the table of a link. Dropping it gives the call up, and tells the remote if it knows of the call.
struct Waiting {
    link: LinkRef,
    slot: Slot,
    request: Request,
}

/// Whether the remote may know of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Request {
    Unsent,
    /// What follows it has to take the same lane.
    Sent(Lane),
}

enum Slot {
    Single(u64),
    Stream(Arc<Stream>),
    Vacated,
}

/// What a call comes to.
enum Reached {
    Ended(Ended),
    Opened(Arc<Stream>),
}

type Outcome<T, E> = Result<T, CallError<E>>;

impl<T, E> CallFuture<T, E> {
    pub(crate) fn new(call: Call<T, E>) -> Self {
        Self { stage: Stage::New(call), span: Span::none() }
    }
}

impl<T, E> Future for CallFuture<T, E> {
    type Output = Outcome<T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome<T, E>> {
        let this = self.get_mut();
        if let Stage::New(_) | Stage::Asking { .. } = this.stage {
            let call = ready!(this.poll_passed(cx));
            match call.and_then(|call| start(call, cx)) {
                Ok((stage, span)) => (this.stage, this.span) = (stage, span),
                Err(error) => this.stage = Stage::Failed(error),
            }
            if let Stage::Sent { waiting: Waiting { slot: Slot::Single(_), .. }, .. } = this.stage {
                // It has the waker, and uses it should the answer have come already.
                return Poll::Pending;
            }
        }
        if let Stage::Failed(_) = this.stage {
            ready!(coop::poll_proceed(cx)).made_progress();
            let Stage::Failed(error) = std::mem::replace(&mut this.stage, Stage::Done) else {
                unreachable!("just matched")
            };
            return Poll::Ready(Err(error));
        }
        let _entered = this.span.enter();
        let reached = ready!(poll_reached(&mut this.stage, cx));
        let (Stage::Sent { then, waiting } | Stage::Sending { then, waiting, .. }) =
            std::mem::replace(&mut this.stage, Stage::Done)
        else {
            unreachable!("only a call that was started ends");
        };
        let watch = then.watch.clone();
        let outcome = then.outcome(reached, &waiting.link);
        if let Some(watch) = watch {
            on_outcome(&watch, &outcome);
        }
        match &outcome {
            Ok(_) => {}
            Err(CallError::DeadlineExceeded) => tracing::debug!(target: "grid::call", "deadline exceeded"),
            Err(error) => tracing::debug!(target: "grid::call", outcome = error.name(), "failed"),
        }
        Poll::Ready(outcome)
    }
}

impl<T, E> CallFuture<T, E> {
    /// Waits until the middleware, if there is any, has let the call pass.
    fn poll_passed(&mut self, cx: &mut Context<'_>) -> Poll<Result<Call<T, E>, CallError<E>>> {
        if let Stage::New(call) = &mut self.stage
            && let Some(asking) = asked::begin(call)
        {
            let Stage::New(call) = std::mem::replace(&mut self.stage, Stage::Done) else {
                unreachable!("just matched")
            };
            self.stage = Stage::Asking { call, asking };
        }
        let passed = match &mut self.stage {
            Stage::Asking { asking, .. } => Some(ready!(asking.as_mut().poll(cx))),
            _ => None,
        };
        match (std::mem::replace(&mut self.stage, Stage::Done), passed) {
            (Stage::New(call), None) => Poll::Ready(Ok(call)),
            (Stage::Asking { call, .. }, Some(passed)) => Poll::Ready(asked::passed(call, passed)),
            _ => unreachable!("it is called before the call has started"),
        }
    }
}

/// A stream goes on, and the half that reads tells its end.
fn on_outcome<T, E>(watch: &Watch, outcome: &Outcome<T, E>) {
    match outcome {
        Ok(_) if watch.call().is_stream() => {}
        Ok(_) => watch.end(&Ok(())),
        Err(error) => watch.end(&Err(error.without_value())),
    }
}

fn poll_reached<T, E>(stage: &mut Stage<T, E>, cx: &mut Context<'_>) -> Poll<Reached> {
    let (Stage::Sent { waiting, .. } | Stage::Sending { waiting, .. }) = stage else {
        panic!("a call was polled after its end")
    };
    if let Poll::Ready(reached) = waiting.poll(cx) {
        return Poll::Ready(reached);
    }
    let Stage::Sending { room, waiting, lane, .. } = stage else { return Poll::Pending };
    if let Err(Closed) = ready!(room.as_mut().poll(cx)) {
        return Poll::Ready(Reached::Ended(Ended::Link(waiting.link_error())));
    }
    waiting.on_sent(*lane);
    let Stage::Sending { waiting, then, .. } = std::mem::replace(stage, Stage::Done) else {
        unreachable!("just matched");
    };
    *stage = Stage::Sent { waiting, then };
    Poll::Pending
}

type Started<T, E> = Result<(Stage<T, E>, Span), CallError<E>>;

fn start<T, E>(call: Call<T, E>, cx: &Context<'_>) -> Started<T, E> {
    let watch = call.watch.clone();
    let started = send(call, cx);
    if let (Some(watch), Err(error)) = (watch, &started) {
        watch.end(&Err(error.without_value()));
    }
    started
}

fn send<T, E>(mut call: Call<T, E>, cx: &Context<'_>) -> Started<T, E> {
    let link = usable_link(&call)?;
    let payload = call.payload.take().unwrap_or_else(|| Ok(spare::payload())).map_err(CallError::Encode)?;
    let mut trailer = trailer(&mut call, &link)?;
    let size = payload.len() + trailer.metadata_bytes();
    let limit = link.payload_bytes_max();
    if size > limit {
        call.connection.peer().counts.hits.add(Limit::MessageBytes);
        return Err(CallError::TooLarge { what: "the request", size, limit });
    }
    let deadline = Deadline::of(&call, Instant::now()).ok_or(CallError::DeadlineExceeded)?;
    let (op, flags, slot) = match call.shape {
        Shape::Single(_) => {
            let mux = link.begin(deadline.at, cx.waker().clone()).map_err(|error| not_begun(&call, error))?;
            (Op::Request, Flags::EOF, Slot::Single(mux))
        }
        Shape::Stream { windows, .. } => {
            let granted = Opening::granted(&link, windows.outbound);
            trailer.credits = link.capabilities.contains(Capabilities::CREDITS).then_some(granted);
            let stream = insert_stream(&call, &link, windows, granted, deadline.at)?;
            // v1 says at the opening that no items will follow.
            let flags = if windows.inbound == 0 { Flags::EOF } else { Flags::NONE };
            (Op::ConnectMux, flags, Slot::Stream(stream))
        }
    };
    let mut waiting = Waiting { link, slot, request: Request::Unsent };
    let span = span(&call, waiting.mux());

    let header = Header::new(op, waiting.mux(), waiting.link.crc | flags);
    let header = Header { handler: call.handler, deadline_ms: deadline.millis, ..header };
    let subroute = call.connection.under().map(|subroute| subroute.id(call.handler));
    let frame = payload.seal(header, &trailer, subroute);
    let Call { connection, handler, label, shape, faults, watch, .. } = call;
    let then = Then { connection, handler, label, shape, faults, watch };
    let lane = Lane::of(frame.len(), waiting.mux());
    let stage = match waiting.link.outbox.try_push(frame, lane) {
        Ok(()) => {
            waiting.on_sent(lane);
            Stage::Sent { waiting, then }
        }
        Err(TryPush::Full(frame)) => {
            let room = push(waiting.link.clone(), frame, lane);
            Stage::Sending { room, lane, waiting, then }
        }
        Err(TryPush::Closed) => return Err(not_connected(&waiting.link_error(), &then.connection)),
    };
    Ok((stage, span))
}

fn insert_stream<T, E>(
    call: &Call<T, E>,
    link: &Link,
    windows: Windows,
    granted: u32,
    deadline: Option<Instant>,
) -> Result<Arc<Stream>, CallError<E>> {
    let opening = Opening { windows, granted, credits: None, next_seq: 0, deadline };
    let timeouts = &call.connection.peer().shared.settings.timeouts;
    let stream = link.begin_stream(|mux| Stream::new(End::Caller, mux, link, &opening, timeouts));
    stream.map_err(|error| not_begun(call, error))
}

fn push(link: LinkRef, frame: EncodedFrame, lane: Lane) -> Pin<Box<dyn Future<Output = Result<(), Closed>> + Send>> {
    Box::pin(async move { link.room(frame.len(), lane).await?.push(frame, lane).map(|_| ()) })
}

impl<T, E> Then<T, E> {
    fn outcome(self, reached: Reached, link: &LinkRef) -> Outcome<T, E> {
        match (reached, &self.shape) {
            (Reached::Ended(Ended::Answer(payload)), Shape::Single(decode)) => {
                decode(payload).map_err(CallError::Decode)
            }
            (Reached::Ended(Ended::Refused(refusal)), _) if refusal.reason() == RefusalReason::UnknownHandler => {
                Err(CallError::Refused(Refusal::new(RefusalReason::UnknownHandler, self.not_served())))
            }
            (Reached::Ended(ended), _) => Err(self.faults.error(ended, &self.connection)),
            (Reached::Opened(stream), Shape::Stream { open, codec, .. }) => {
                let link = link.to_arc();
                Ok(open(
                    Half { connection: self.connection, link, stream, codec: *codec, watch: self.watch },
                    self.faults,
                ))
            }
            (Reached::Opened(_), Shape::Single(_)) => unreachable!("a single request is not opened"),
        }
    }
}

impl<T, E> Then<T, E> {
    /// In words: the remote knows neither names nor routes, only ids.
    fn not_served(&self) -> String {
        let handler = self.handler;
        let what = match self.label {
            Some((service, method)) => format!("{service}.{method} (handler {handler})"),
            None => format!("handler {handler}"),
        };
        let under = self.connection.under().map(|subroute| format!(" under subroute {:?}", subroute.route()));
        format!("{what} is not served{} by {}", under.unwrap_or_default(), self.connection.remote())
    }
}

impl Waiting {
    fn mux(&self) -> u64 {
        match &self.slot {
            Slot::Single(mux) => *mux,
            Slot::Stream(stream) => stream.mux,
            Slot::Vacated => 0,
        }
    }

    fn on_sent(&mut self, lane: Lane) {
        self.request = Request::Sent(lane);
        if let Slot::Stream(stream) = &self.slot {
            stream.on_sent(lane);
            // It may have ended since its frame was queued, when the remote could not be told yet.
            if stream.is_over() {
                stream.send_disconnect(&self.link);
            }
        }
    }

    fn poll(&mut self, cx: &Context<'_>) -> Poll<Reached> {
        let reached = match &self.slot {
            Slot::Single(mux) => {
                let ended = ready!(self.link.table.poll(*mux, cx));
                if matches!(ended, Ended::Deadline) {
                    self.tell(*mux);
                }
                Reached::Ended(ended)
            }
            Slot::Stream(stream) => match ready!(stream.poll_opened(cx)) {
                Ok(()) => Reached::Opened(Arc::clone(stream)),
                Err(Over::Because(ended)) => Reached::Ended(ended),
                Err(Over::Finished) => unreachable!("a stream that finished was opened"),
            },
            Slot::Vacated => panic!("a call was polled after its end"),
        };
        self.slot = Slot::Vacated;
        Poll::Ready(reached)
    }

    /// Tells the remote that nobody waits for the answer any more, if it can take it.
    fn tell(&self, mux: u64) {
        if let Request::Sent(lane) = self.request
            && let Some(header) = cancellation(mux, self.link.capabilities, self.link.crc)
        {
            self.link.send_own(header, &Trailer::default(), lane);
        }
    }

    /// Why the outbox is closed. It takes nothing more during a shutdown, while the link still writes what is queued.
    fn link_error(&self) -> LinkError {
        self.link.end().cloned().unwrap_or(LinkError::ShutDown)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        match &self.slot {
            Slot::Vacated => {}
            Slot::Stream(stream) => {
                stream.cancel(&self.link, Ended::Cancelled);
            }
            Slot::Single(mux) => match self.link.table.cancel(*mux) {
                Cancelled::Waiting => self.tell(*mux),
                Cancelled::HadEnded => {}
            },
        }
    }
}

impl<T, E> Unpin for CallFuture<T, E> {}

impl<T, E> fmt::Debug for CallFuture<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallFuture").finish_non_exhaustive()
    }
}

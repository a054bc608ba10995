//! One call that was let in, from its handler's first poll to its answer in the outbox.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_util::FutureExt;
use tokio::time::{Instant, timeout_at};
use tracing::level_filters::LevelFilter;
use tracing::{Instrument, Span};

use super::hits::Limit;
use super::inherit::{Inherited, Made, serving, serving_now};
use super::lane::Lane;
use super::link::FRAME_OVERHEAD_MAX;
use super::outbox::{Closed, NoRoom, TryPush};
use super::peer::Peer;
use super::registry::{Handler, Kind, Request, Served, Serving};
use super::running::Admission;
use super::serve_stream;
use super::stream::Stream;
use super::wakes::Wakes;
use super::watched;
use crate::proto::{Reply, ServerCall};
use crate::text::cut;
use crate::wire::{Capabilities, EncodedFrame, RefusalReason, TRACEPARENT};

/// A handler at work for a call.
///
/// Aborted when the caller cancels or the link ends; a passed deadline drops the handler and says nothing, as the
/// caller has stopped waiting, but for a stream, which v1 ends with a word. A detached handler goes on in each of these
/// cases, and only its answer is dropped.
#[derive(Debug)]
pub(super) struct Job {
    handler: Arc<Handler>,
    peer: Arc<Peer>,
    call: ServerCall,
    deadline: Option<Instant>,
    inherited: Inherited,
    stream: Option<Arc<Stream>>,
    admission: Admission,
}

/// What a handler came to, or a panic.
type Ended = Result<Served, Box<dyn Any + Send>>;

/// A handler after its first poll.
enum Begun {
    Ended(Ended),
    Waits(Serving),
}

/// What a task of its own has to do.
enum Rest {
    All(Request),
    Handler(Serving),
    Answer(EncodedFrame),
}

impl Job {
    pub(super) fn new(handler: &Arc<Handler>, request: &Request, call: ServerCall, admission: Admission) -> Self {
        let inherited = Inherited {
            // A detached handler outlives its call, and so do the calls that it makes.
            deadline: request.deadline.filter(|_| !handler.detach),
            traceparent: traceparent(request).map(Into::into),
            made: Made::InHandler,
        };
        Self {
            handler: Arc::clone(handler),
            peer: Arc::clone(&request.peer),
            call,
            deadline: request.deadline,
            inherited,
            stream: request.stream.as_ref().map(|(_, stream)| Arc::clone(stream)),
            admission,
        }
    }

    /// Runs the handler: here and now until it first waits for something, if it is known to be quick, else in a task of its
    /// own. Gives the time after that, if it ran here, where it is `now` before.
    pub(super) fn run(self, request: Request, now: Instant, wakes: &mut Wakes) -> Option<Instant> {
        let span = self.span(&request);
        if self.handler.kind != Kind::Single || !self.handler.pace.is_quick() || is_large(&request) {
            self.spawn(span, Rest::All(request));
            return None;
        }
        // Should it take longer than it did before, nobody else waits for it.
        wakes.wake();
        // Whatever would wake it wakes nobody: if it waits, it is polled again at once, in its task.
        let cx = &mut Context::from_waker(Waker::noop());
        let (begun, ended_at) = span.in_scope(|| serving_now(self.inherited.clone(), || self.begin(request, now, cx)));
        match begun {
            Begun::Waits(serving) => self.spawn(span, Rest::Handler(serving)),
            // It ended too late to be heard.
            Begun::Ended(_) if self.handler.detach && self.is_late() => {}
            Begun::Ended(ended) => self.answer_now(&span, ended),
        }
        Some(ended_at)
    }

    /// The first poll, which begins now. Gives when it has ended. The handler's own function runs in it as well: it may
    /// panic before it gives a future.
    fn begin(&self, request: Request, now: Instant, cx: &mut Context<'_>) -> (Begun, Instant) {
        let is_large = is_large(&request);
        let begun = catch_unwind(AssertUnwindSafe(|| {
            let mut serving = match self.peer.shared.settings.middleware.is_empty() {
                true => (self.handler.serve)(request),
                false => watched::serve(&self.handler, request, self.admission.link()),
            };
            match serving.as_mut().poll(cx) {
                Poll::Ready(served) => Begun::Ended(Ok(served)),
                Poll::Pending => Begun::Waits(serving),
            }
        }));
        let ended_at = Instant::now();
        if !is_large {
            self.handler.pace.on_first_poll(ended_at.saturating_duration_since(now));
        }
        (begun.unwrap_or_else(|panic| Begun::Ended(Err(panic))), ended_at)
    }

    fn spawn(mut self, span: Span, rest: Rest) {
        let key = self.admission.register(self.call.mux(), self.stream.clone());
        let (link, detach) = (Arc::clone(self.admission.link()), self.handler.detach);
        let peer = Arc::clone(&self.peer);
        let task = peer.shared.handlers.spawn(self.rest(rest).instrument(span));
        if !detach {
            link.running.attach(key, task.abort_handle());
        }
    }

    async fn rest(mut self, rest: Rest) {
        let handler = match rest {
            Rest::Answer(frame) => return self.push(frame).await,
            rest => serving(self.inherited.clone(), self.handle(rest)),
        };
        let ended = match self.deadline {
            Some(deadline) if !self.handler.detach => timeout_at(deadline, handler).await.ok(),
            Some(_) => Some(handler.await).filter(|_| !self.is_late()),
            None => Some(handler.await),
        };
        let Some(ended) = ended else {
            tracing::debug!(target: "grid::call", "the deadline passed before the handler ended");
            if let Some(stream) = &self.stream {
                serve_stream::tell_expired(self.admission.link(), stream);
            }
            return;
        };
        let reply = self.reply(ended);
        match &self.stream {
            Some(stream) => {
                let (stream, link) = (Arc::clone(stream), Arc::clone(self.admission.link()));
                let reply = match self.admission.keep(reply.len()) {
                    true => reply,
                    false => too_many_wait(&self.peer),
                };
                serve_stream::finish(&link, &stream, reply, &mut self.admission).await;
            }
            None => {
                let frame = self.call.on_reply(reply, self.tells_reasons());
                self.push(frame).await;
            }
        }
    }

    async fn handle(&self, rest: Rest) -> Ended {
        let mut rest = Some(rest);
        let begun = std::future::poll_fn(|cx| {
            Poll::Ready(match rest.take() {
                Some(Rest::All(request)) => self.begin(request, Instant::now(), cx).0,
                Some(Rest::Handler(serving)) => Begun::Waits(serving),
                Some(Rest::Answer(_)) | None => unreachable!("it is polled once, for a handler"),
            })
        });
        match begun.await {
            Begun::Ended(ended) => ended,
            Begun::Waits(serving) => AssertUnwindSafe(serving).catch_unwind().await,
        }
    }

    fn is_late(&self) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= Instant::now())
    }

    fn tells_reasons(&self) -> bool {
        self.admission.link().capabilities.contains(Capabilities::TRAILER)
    }

    fn reply(&self, ended: Ended) -> Reply {
        let reply = match ended {
            Ok(Ok(answer)) => answer.0,
            Ok(Err(failure)) => failure.0,
            Err(panic) => panicked(panic.as_ref(), self.handler.kind),
        };
        let bytes_max = self.admission.link().message_bytes_max;
        if is_too_large(&reply, bytes_max) {
            self.peer.counts.hits.add(Limit::MessageBytes);
        }
        within(reply, bytes_max)
    }

    /// The answer to a handler that has ended in the driver. If there is no room for it now, a task waits for that.
    fn answer_now(self, span: &Span, ended: Ended) {
        let frame = self.call.on_reply(self.reply(ended), self.tells_reasons());
        let lane = Lane::of(frame.len(), self.call.mux());
        // The call has its place until after that; the caller cannot know of the answer before the driver goes on.
        match self.admission.link().outbox.try_push(frame, lane) {
            Ok(()) => {}
            Err(TryPush::Full(frame)) => self.spawn(span.clone(), Rest::Answer(frame)),
            Err(TryPush::Closed) => unheard(),
        }
    }

    /// Waits for room for the answer.
    async fn push(&mut self, mut frame: EncodedFrame) {
        let link = Arc::clone(self.admission.link());
        let mut lane = Lane::of(frame.len(), self.call.mux());
        let room = match link.outbox.try_room(frame.len(), lane) {
            Ok(room) => Ok(room),
            Err(NoRoom::Closed) => Err(Closed),
            Err(NoRoom::Full) => {
                if !self.admission.keep(frame.len()) {
                    frame = self.call.on_reply(too_many_wait(&self.peer), self.tells_reasons());
                    lane = Lane::of(frame.len(), self.call.mux());
                }
                let room = link.room(frame.len(), lane);
                match self.deadline {
                    Some(deadline) => timeout_at(deadline, room).await.unwrap_or(Err(Closed)),
                    None => room.await,
                }
            }
        };
        self.admission.free_place();
        if room.and_then(|room| room.push(frame, lane)).is_err() {
            unheard();
        }
    }

    fn span(&self, request: &Request) -> Span {
        if !spans_are_wanted() {
            return Span::none();
        }
        tracing::debug_span!(
            target: "grid::call",
            "serve",
            handler = %self.handler.label,
            peer = %self.peer.name,
            mux = self.call.mux(),
            subroute = self.handler.subroute.as_deref(),
            traceparent = traceparent(request),
        )
    }
}

/// Whether a subscriber looks at the spans of calls. Without one, a `log` logger gets events and no spans: with the
/// feature `log` of tracing, which any crate of a program may turn on, spans that nobody looks at cost as much as the
/// header of a frame.
pub(crate) fn spans_are_wanted() -> bool {
    LevelFilter::current() >= LevelFilter::DEBUG
}

fn unheard() {
    tracing::debug!(target: "grid::call", "nobody waits for the answer any more");
}

pub(super) fn is_too_large(reply: &Reply, bytes_max: usize) -> bool {
    match reply {
        Reply::Answer(payload) | Reply::Error(payload) => payload.len() > bytes_max.saturating_sub(FRAME_OVERHEAD_MAX),
        Reply::Nil | Reply::Failed(..) => false,
    }
}

/// An answer that is too large becomes a refusal that says so.
pub(super) fn within(reply: Reply, bytes_max: usize) -> Reply {
    match &reply {
        Reply::Answer(payload) | Reply::Error(payload) if is_too_large(&reply, bytes_max) => {
            let text = format!("the answer of {} bytes is more than a message may be, {bytes_max}", payload.len());
            Reply::Failed(RefusalReason::BadAnswer, text.into())
        }
        Reply::Answer(_) | Reply::Nil | Reply::Error(_) | Reply::Failed(..) => reply,
    }
}

/// What is told instead of an answer that would have to wait beside too many others.
pub(super) fn too_many_wait(peer: &Peer) -> Reply {
    peer.counts.hits.add(Limit::CallsInBytes);
    Reply::Failed(RefusalReason::BadAnswer, "too many bytes of answers wait to be sent".into())
}

/// In the words of v1, which has others for streams.
fn panicked(panic: &(dyn Any + Send), kind: Kind) -> Reply {
    let message = panic.downcast_ref::<&str>().copied();
    let message = message.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("a value");
    tracing::error!(target: "grid::call", panic = message, "a handler panicked");
    let text = match kind {
        Kind::Stream(_) => format!("handler panic: {message}"),
        Kind::Single => format!("handleMessages: panic recovered: {message}"),
    };
    Reply::Failed(RefusalReason::Panicked, cut(text.into()))
}

/// Decoding it may take long, whatever the handler does then: it says nothing about that.
fn is_large(request: &Request) -> bool {
    request.payload.len() > QUICK_BYTES_MAX
}

fn traceparent(request: &Request) -> Option<&str> {
    request.metadata.iter().find(|(name, _)| **name == *TRACEPARENT).map(|(_, value)| &**value)
}

/// A request of more bytes is decoded in a task: as many small values in it take a millisecond and more.
const QUICK_BYTES_MAX: usize = 256 << 10;

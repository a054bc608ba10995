//! A call that runs: from its request to its one outcome.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};
use tracing::Span;

use crate::call::{Call, Decoders};
use crate::connection::Connection;
use crate::error::{CallError, CodecError, LinkError, Refusal};
use crate::proto::{Cancel, ClientCall};
use crate::rt::{Closed, Ended, Link, LinkState, Made, NoSlot, TryPush};
use crate::wire::{Capabilities, EncodedFrame, Flags, Header, Op, PayloadBuf, RefusalReason, TRACEPARENT, Trailer};

pin_project! {
    /// The future of a [`Call`]. Dropping it cancels the call, on the remote too.
    #[must_use = "a call does nothing until it is awaited"]
    pub struct CallFuture<T, E> {
        stage: Stage<T, E>,
        #[pin]
        timer: Option<Sleep>,
        span: Span,
    }
}

enum Stage<T, E> {
    New(Call<T, E>),
    /// Waits for room in the outbox.
    Sending {
        room: Pin<Box<dyn Future<Output = Result<(), Closed>> + Send>>,
        waiting: Waiting,
        then: Then<T, E>,
    },
    /// Waits for the answer.
    Sent {
        waiting: Waiting,
        then: Then<T, E>,
    },
    Done,
}

/// What is needed once the call has ended.
struct Then<T, E> {
    connection: Connection,
    decoders: Decoders<T, E>,
}

/// A slot in the table of a link. Dropping it gives the call up, and tells the remote if it knows of the call.
struct Waiting {
    link: Arc<Link>,
    mux: u64,
    slot: Slot,
}

#[derive(PartialEq, Eq)]
enum Slot {
    Held,
    Vacated,
}

type Outcome<T, E> = Result<T, CallError<E>>;

impl<T, E> CallFuture<T, E> {
    pub(crate) fn new(call: Call<T, E>) -> Self {
        Self { stage: Stage::New(call), timer: None, span: Span::none() }
    }
}

impl<T, E> Future for CallFuture<T, E> {
    type Output = Outcome<T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome<T, E>> {
        let mut this = self.project();
        if let Stage::New(_) = this.stage {
            let Stage::New(call) = std::mem::replace(this.stage, Stage::Done) else { unreachable!("just matched") };
            let started = match start(call) {
                Ok(started) => started,
                Err(error) => return Poll::Ready(Err(error)),
            };
            this.timer.set(started.deadline.map(sleep_until));
            *this.span = started.span;
            *this.stage = started.stage;
        }
        let _entered = this.span.enter();
        let ended = match poll_ended(this.stage, cx) {
            Poll::Ready(ended) => ended,
            Poll::Pending => {
                let Some(timer) = this.timer.as_mut().as_pin_mut() else { return Poll::Pending };
                ready!(timer.poll(cx));
                *this.stage = Stage::Done;
                tracing::debug!(target: "grid::call", "deadline exceeded");
                return Poll::Ready(Err(CallError::DeadlineExceeded));
            }
        };
        let (Stage::Sent { then, .. } | Stage::Sending { then, .. }) = std::mem::replace(this.stage, Stage::Done)
        else {
            unreachable!("only a call that was started ends");
        };
        let outcome = then.outcome(ended);
        if let Err(error) = &outcome {
            tracing::debug!(target: "grid::call", outcome = name_of(error), "failed");
        }
        Poll::Ready(outcome)
    }
}

fn poll_ended<T, E>(stage: &mut Stage<T, E>, cx: &mut Context<'_>) -> Poll<Ended> {
    if let Stage::Sending { room, waiting, .. } = stage {
        if let Err(Closed) = ready!(room.as_mut().poll(cx)) {
            return Poll::Ready(waiting.link_ended());
        }
        waiting.on_sent();
        let Stage::Sending { waiting, then, .. } = std::mem::replace(stage, Stage::Done) else {
            unreachable!("just matched");
        };
        *stage = Stage::Sent { waiting, then };
    }
    let Stage::Sent { waiting, .. } = stage else { panic!("a call was polled after its end") };
    waiting.poll(cx)
}

/// A call whose request is on its way.
struct Started<T, E> {
    stage: Stage<T, E>,
    deadline: Option<Instant>,
    span: Span,
}

fn start<T, E>(mut call: Call<T, E>) -> Result<Started<T, E>, CallError<E>> {
    let link = usable_link(&call)?;
    let payload = call.payload.take().unwrap_or_else(|| Ok(PayloadBuf::new())).map_err(CallError::Encode)?;
    let trailer = trailer(&mut call, &link)?;
    let size = payload.len() + trailer.metadata_bytes();
    let limit = call.connection.peer().shared.settings.limits.message_bytes_max.saturating_sub(FRAME_OVERHEAD_MAX);
    if size > limit {
        return Err(CallError::TooLarge { what: "the request", size, limit });
    }
    let (deadline, deadline_ms) = deadline(&call, Instant::now()).ok_or(CallError::DeadlineExceeded)?;
    let mux = link.table.insert().map_err(|error| not_begun(&call, error))?;
    let waiting = Waiting { link, mux, slot: Slot::Held };
    let span = span(&call, mux);

    let header =
        Header { handler: call.handler, deadline_ms, ..Header::new(Op::Request, mux, waiting.link.crc | Flags::EOF) };
    let subroute = call.connection.under().map(|subroute| subroute.id(call.handler));
    let frame = payload.seal(header, &trailer, subroute);
    let then = Then { connection: call.connection, decoders: call.decoders };
    let stage = match waiting.link.outbox.try_push(frame) {
        Ok(()) => {
            waiting.on_sent();
            Stage::Sent { waiting, then }
        }
        Err(TryPush::Full(frame)) => Stage::Sending { room: push(Arc::clone(&waiting.link), frame), waiting, then },
        Err(TryPush::Closed) => return Err(then.not_connected(waiting.link_error())),
    };
    Ok(Started { stage, deadline, span })
}

fn push(link: Arc<Link>, frame: EncodedFrame) -> Pin<Box<dyn Future<Output = Result<(), Closed>> + Send>> {
    Box::pin(async move { link.outbox.push(frame).await })
}

/// The current link, if this call can be made on it.
fn usable_link<T, E>(call: &Call<T, E>) -> Result<Arc<Link>, CallError<E>> {
    let peer = call.connection.peer();
    let refused = |reason, text| Err(CallError::Refused(Refusal::new(reason, text)));
    if peer.shared.is_draining() && call.inherited.made == Made::Elsewhere {
        return Err(CallError::Cancelled);
    }
    match peer.state() {
        LinkState::Down(_) => Err(CallError::Disconnected(Arc::clone(&peer.name))),
        LinkState::Closed => Err(CallError::Cancelled),
        LinkState::Draining(link) => {
            let why = link.draining().unwrap_or_default();
            refused(RefusalReason::Draining, format!("{} is about to leave: {why}", peer.name))
        }
        // A v1 peer would close the link over such an id.
        LinkState::Up(link)
            if call.handler.service() > 0 && !link.capabilities.contains(Capabilities::WIDE_HANDLERS) =>
        {
            let text =
                format!("{} speaks only v1, which knows service 0, and this is handler {}", peer.name, call.handler);
            refused(RefusalReason::UnknownHandler, text)
        }
        LinkState::Up(link) => Ok(link),
    }
}

/// What goes along with the request, if the peer can take it.
fn trailer<T, E>(call: &mut Call<T, E>, link: &Link) -> Result<Trailer, CallError<E>> {
    let limit = call.connection.peer().shared.settings.limits.metadata_bytes_max;
    let mut trailer = Trailer { metadata: std::mem::take(&mut call.metadata), refusal: None };
    let size = trailer.metadata_bytes();
    if size > limit {
        return Err(CallError::TooLarge { what: "the metadata", size, limit });
    }
    if !link.capabilities.contains(Capabilities::TRAILER) {
        return Ok(Trailer::default());
    }
    if let Some(traceparent) = &call.inherited.traceparent
        && !trailer.metadata.iter().any(|(name, _)| **name == *TRACEPARENT)
    {
        trailer.metadata.push((TRACEPARENT.into(), (&**traceparent).into()));
        // The caller's own metadata comes first.
        if trailer.metadata_bytes() > limit {
            trailer.metadata.pop();
        }
    }
    Ok(trailer)
}

/// When the call ends at the latest, and the same in whole milliseconds from now. `None`: it has passed.
fn deadline<T, E>(call: &Call<T, E>, now: Instant) -> Option<(Option<Instant>, u32)> {
    let settings = &call.connection.peer().shared.settings;
    let fallback = call.timeout_default.unwrap_or(settings.timeouts.call);
    let timeout = match (call.timeout, call.deadline) {
        (Some(timeout), _) => Some(timeout),
        (None, Some(_)) => None,
        (None, None) => Some(fallback),
    };
    let until = |at: Instant| at.saturating_duration_since(now);
    let left = [timeout, call.deadline.map(until), call.inherited.deadline.map(until)];
    let left: Duration = left.into_iter().flatten().min()?;
    // Rounded down, so that the remote does not wait longer than the caller.
    let millis = u32::try_from(left.as_millis()).unwrap_or(u32::MAX);
    (millis > 0).then(|| (now.checked_add(left), millis))
}

fn not_begun<T, E>(call: &Call<T, E>, error: NoSlot) -> CallError<E> {
    let peer = &call.connection.peer().name;
    match error {
        NoSlot::Full(max) => {
            let text = format!("{max} calls are in flight to {peer}, which is the limit of this side");
            CallError::Refused(Refusal::new(RefusalReason::Overloaded, text))
        }
        NoSlot::Closed(LinkError::ShutDown) => CallError::Cancelled,
        NoSlot::Closed(_) => CallError::Disconnected(Arc::clone(peer)),
    }
}

/// For the log, which is not to show what a handler's error holds.
fn name_of<E>(error: &CallError<E>) -> &'static str {
    match error {
        CallError::Remote(_) => "remote",
        CallError::Refused(_) => "refused",
        CallError::Disconnected(_) => "disconnected",
        CallError::DeadlineExceeded => "deadline exceeded",
        CallError::Cancelled => "cancelled",
        CallError::TooLarge { .. } => "too large",
        CallError::Encode(_) => "encode",
        CallError::Decode(_) => "decode",
    }
}

fn span<T, E>(call: &Call<T, E>, mux: u64) -> Span {
    let (service, method) = call.label.unzip();
    tracing::debug_span!(
        target: "grid::call",
        "call",
        handler = %call.handler,
        service,
        method,
        peer = call.connection.remote(),
        mux,
        subroute = call.connection.under().map(|subroute| &**subroute.route()),
    )
}

impl<T, E> Then<T, E> {
    fn outcome(&self, ended: Ended) -> Outcome<T, E> {
        match ended {
            Ended::Answer(payload) => (self.decoders.answer)(payload).map_err(CallError::Decode),
            Ended::Error(payload) => Err(self.fault(payload)),
            Ended::Refused(refusal) => Err(CallError::Refused(refusal)),
            Ended::Violation(what) => Err(CallError::Decode(CodecError::new(what))),
            Ended::Link(why) => Err(self.not_connected(why)),
        }
    }

    /// The error of a handler. A v1 peer sends a text for all that can go wrong on its side, which need not be an `E`.
    fn fault(&self, payload: bytes::Bytes) -> CallError<E> {
        match (self.decoders.error)(payload.clone()) {
            Ok(fault) => CallError::Remote(fault),
            Err(error) => match std::str::from_utf8(&payload) {
                Ok(text) => CallError::Refused(Refusal::new(RefusalReason::Unspecified, text)),
                Err(_) => CallError::Decode(error),
            },
        }
    }

    fn not_connected(&self, why: LinkError) -> CallError<E> {
        match why {
            LinkError::ShutDown => CallError::Cancelled,
            _ => CallError::Disconnected(Arc::clone(&self.connection.peer().name)),
        }
    }
}

impl Waiting {
    fn on_sent(&self) {
        self.link.table.on_sent(self.mux);
    }

    fn poll(&mut self, cx: &Context<'_>) -> Poll<Ended> {
        let ended = ready!(self.link.table.poll(self.mux, cx));
        self.slot = Slot::Vacated;
        Poll::Ready(ended)
    }

    fn link_ended(&self) -> Ended {
        Ended::Link(self.link_error())
    }

    /// Why the outbox is closed. It takes nothing more during a shutdown, while the link still writes what is queued.
    fn link_error(&self) -> LinkError {
        self.link.end().cloned().unwrap_or(LinkError::ShutDown)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.slot == Slot::Vacated {
            return;
        }
        if let Some(Cancel::Tell) = self.link.table.cancel(self.mux)
            && let Some(header) = ClientCall::cancel_frame(self.mux, self.link.capabilities, self.link.crc)
        {
            self.link.send_cancellation(header);
        }
    }
}

impl<T, E> fmt::Debug for CallFuture<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallFuture").finish_non_exhaustive()
    }
}

/// What a frame needs around its payload and metadata: the tuple, the trailer's own bytes, subroute and checksum.
const FRAME_OVERHEAD_MAX: usize = 256;

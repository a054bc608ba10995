//! Running a handler for a call of the peer.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use tokio::time::{Instant, timeout_at};
use tracing::Instrument;

use super::dispatch::Dispatcher;
use super::inherit::{Inherited, Made, serving};
use super::link::Link;
use super::node::Mesh;
use super::outbox::Closed;
use super::registry::{Handler, Kind, Request};
use super::running::{Admission, NotAdmitted};
use super::serve_stream;
use super::stream::{Stream, kept};
use crate::proto::{End, Reply, ServerCall};
use crate::wire::{Capabilities, Flags, Frame, Op, RefusalReason, SubrouteId, TRACEPARENT};

/// Starts the handler of a request in a task of its own, or says why not.
pub(crate) fn serve(dispatcher: &Dispatcher, frame: Frame<'_>, message: &Bytes) {
    let Dispatcher { link, peer, mesh, .. } = dispatcher;
    let call = ServerCall::on_request(&frame, link.crc);
    if frame.head.op == Op::ConnectMux {
        if link.running.stream(call.mux()).is_some() {
            tracing::debug!(target: "grid::frame", mux = call.mux(), "a second opening of a stream is ignored");
            return;
        }
        if frame.head.flags.contains(Flags::STATELESS) {
            return refuse(link, call, RefusalReason::UnknownHandler, "Stateless streams not supported");
        }
    }
    let Some(handler) = find(mesh, &frame) else {
        return refuse(link, call, RefusalReason::UnknownHandler, &unknown(&frame));
    };
    if peer.shared.is_draining() {
        return refuse(link, call, RefusalReason::Draining, "this node is about to leave");
    }
    let trailer = frame.trailer.unwrap_or_default();
    let settings = &peer.shared.settings;
    if trailer.metadata_bytes() > settings.limits.metadata_bytes_max {
        let text = format!("the metadata is more than the limit of {}", settings.limits.metadata_bytes_max);
        return refuse(link, call, RefusalReason::BadRequest, &text);
    }
    let deadline = call.timeout().map(|timeout| Instant::now() + timeout);
    let opening = match handler.kind {
        Kind::Single => None,
        Kind::Stream(windows) => Some(serve_stream::opening(link, &call, windows, trailer.credits, deadline)),
    };
    let stream = opening.as_ref().map(|opening| {
        let stream = Stream::new(End::Handler, call.mux(), link, opening, &settings.timeouts);
        Arc::new(stream)
    });
    let admission = match Admission::new(Arc::clone(link), call.mux(), frame.payload.len(), stream.clone()) {
        Ok(admission) => admission,
        Err(NotAdmitted::Full) => {
            return refuse(link, call, RefusalReason::Overloaded, "too many calls are in flight");
        }
        Err(NotAdmitted::Closed) => return,
    };
    if let (Some(stream), Some(opening)) = (&stream, &opening) {
        serve_stream::acknowledge(link, stream, opening.granted);
    }
    let request = Request {
        payload: match &stream {
            None => owned(frame.payload, message),
            // For as long as the stream goes on.
            Some(_) => kept(frame.payload, message),
        },
        peer: Arc::clone(peer),
        mesh: Arc::clone(mesh),
        handler: handler.id,
        subroute: handler.subroute.clone(),
        deadline,
        metadata: trailer.metadata,
        stream: stream.map(|stream| (Arc::clone(link), stream)),
    };
    start(Arc::clone(handler), request, call, admission);
}

/// What serves calls of this kind under this id and subroute.
fn find<'a>(mesh: &'a Mesh, frame: &Frame<'_>) -> Option<&'a Arc<Handler>> {
    let handler = mesh.registry.find(frame.head.handler, frame.subroute.as_ref())?;
    let fits = match handler.kind {
        Kind::Single => frame.head.op == Op::Request,
        Kind::Stream(_) => frame.head.op == Op::ConnectMux,
    };
    (fits && frame.head.handler.method() > 0).then_some(handler)
}

fn start(handler: Arc<Handler>, request: Request, call: ServerCall, admission: Admission) {
    let (link, peer) = (Arc::clone(admission.link()), Arc::clone(&request.peer));
    let span = tracing::debug_span!(
        target: "grid::call",
        "serve",
        handler = %handler.label,
        peer = %peer.name,
        mux = call.mux(),
        subroute = handler.subroute.as_deref(),
        traceparent = traceparent(&request),
    );
    let (key, detach) = (admission.key(), handler.detach);
    let task = run(handler, request, call, admission, peer.shared.settings.limits.message_bytes_max);
    let task = peer.shared.handlers.spawn(task.instrument(span));
    if !detach {
        link.running.attach(key, task.abort_handle());
    }
}

/// One handler from its start to its answer in the outbox.
///
/// Aborted when the caller cancels or the link ends; a passed deadline drops the handler and says nothing, as the
/// caller has stopped waiting, but for a stream, which v1 ends with a word. A detached handler goes on in each of these
/// cases, and only its answer is dropped.
async fn run(handler: Arc<Handler>, request: Request, call: ServerCall, mut admission: Admission, bytes_max: usize) {
    let deadline = request.deadline;
    let detach = handler.detach;
    let stream = request.stream.as_ref().map(|(_, stream)| Arc::clone(stream));
    let inherited = Inherited {
        // A detached handler outlives its call, and so do the calls that it makes.
        deadline: deadline.filter(|_| !detach),
        traceparent: traceparent(&request).map(Into::into),
        made: Made::InHandler,
    };
    // The handler's own function runs inside as well: it may panic before it gives a future.
    let handler = serving(inherited, async move { (handler.serve)(request).await });
    let handler = AssertUnwindSafe(handler).catch_unwind();
    let ended = match deadline {
        Some(deadline) if !detach => timeout_at(deadline, handler).await.ok(),
        Some(deadline) => Some(handler.await).filter(|_| Instant::now() < deadline),
        None => Some(handler.await),
    };
    let link = Arc::clone(admission.link());
    let Some(ended) = ended else {
        tracing::debug!(target: "grid::call", "the deadline passed before the handler ended");
        if let Some(stream) = stream {
            serve_stream::tell_expired(&link, &stream);
        }
        return;
    };
    let reply = match ended {
        Ok(Ok(answer)) => answer.0,
        Ok(Err(failure)) => failure.0,
        Err(panic) => panicked(panic.as_ref(), stream.is_some()),
    };
    let reply = within(reply, bytes_max);
    match stream {
        Some(stream) => serve_stream::finish(&link, &stream, reply, &mut admission).await,
        None => answer(&link, call, reply, deadline, &mut admission).await,
    }
}

async fn answer(link: &Link, call: ServerCall, reply: Reply, deadline: Option<Instant>, admission: &mut Admission) {
    let frame = call.on_reply(reply, link.capabilities.contains(Capabilities::TRAILER));
    let room = link.outbox.room(frame.len());
    let room = match deadline {
        Some(deadline) => timeout_at(deadline, room).await.unwrap_or(Err(Closed)),
        None => room.await,
    };
    admission.free_place();
    if room.and_then(|room| room.push(frame)).is_err() {
        tracing::debug!(target: "grid::call", "nobody waits for the answer any more");
    }
}

/// The bytes of a request, which its handler keeps. Those that are a small part of a large message are copied, so that
/// they do not keep all of it.
fn owned(payload: &[u8], message: &Bytes) -> Bytes {
    if message.len() > SHARED_MAX && payload.len() < message.len() / 2 {
        Bytes::copy_from_slice(payload)
    } else {
        message.slice_ref(payload)
    }
}

fn refuse(link: &Link, call: ServerCall, reason: RefusalReason, text: &str) {
    tracing::debug!(target: "grid::call", mux = call.mux(), handler = %call.handler(), ?reason, "refused");
    link.send_control(call.on_refuse(reason, text, link.capabilities.contains(Capabilities::TRAILER)));
}

/// An answer that is too large becomes a refusal that says so.
fn within(reply: Reply, bytes_max: usize) -> Reply {
    // What a frame may need around its payload, generously.
    let payload_max = bytes_max.saturating_sub(256);
    match &reply {
        Reply::Answer(payload) | Reply::Error(payload) if payload.len() > payload_max => {
            let text = format!("the answer of {} bytes is more than a message may be, {bytes_max}", payload.len());
            Reply::Failed(RefusalReason::BadAnswer, text.into())
        }
        Reply::Failed(reason, text) if text.len() > REFUSAL_TEXT_MAX => {
            Reply::Failed(*reason, text.get(..text.floor_char_boundary(REFUSAL_TEXT_MAX)).unwrap_or_default().into())
        }
        Reply::Answer(_) | Reply::Nil | Reply::Error(_) | Reply::Failed(..) => reply,
    }
}

/// In the words of v1, which has others for streams.
fn panicked(panic: &(dyn Any + Send), is_stream: bool) -> Reply {
    let message = panic.downcast_ref::<&str>().copied();
    let message = message.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("a value");
    tracing::error!(target: "grid::call", panic = message, "a handler panicked");
    let text = match is_stream {
        true => format!("handler panic: {message}"),
        false => format!("handleMessages: panic recovered: {message}"),
    };
    Reply::Failed(RefusalReason::Panicked, text.into())
}

/// In the words of v1, which has its ids as constants with names.
pub(super) fn unknown(frame: &Frame<'_>) -> String {
    let bytes = |id: &SubrouteId| id.as_bytes().map(|byte| byte.to_string()).join(" ");
    match frame.subroute {
        Some(id) => format!("Invalid Handler for type: [{}]", bytes(&id)),
        None if frame.head.handler.service() == 0 && !(1..80).contains(&frame.head.handler.method()) => {
            "Invalid Handler".into()
        }
        None => format!("Invalid Handler for type: {}", frame.head.handler),
    }
}

fn traceparent(request: &Request) -> Option<&str> {
    request.metadata.iter().find(|(name, _)| **name == *TRACEPARENT).map(|(_, value)| &**value)
}

/// A message of this size is kept whole by any part of it: twice a full merge of a v1 peer.
const SHARED_MAX: usize = 64 << 10;
/// Bytes of the text of a refusal, which may be that of a panic. Fits the smallest that a message may be, 1 KiB.
const REFUSAL_TEXT_MAX: usize = 512;

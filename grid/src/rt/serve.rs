//! Letting a call of the peer in.

use std::sync::Arc;

use super::dispatch::Dispatcher;
use super::hits::Limit;
use super::job::Job;
use super::lane::Lane;
use super::link::Link;
use super::log_once::Notice;
use super::message::Message;
use super::node::{Guests, Mesh};
use super::peer::Peer;
use super::registry::{Handler, Kind, Request};
use super::running::{Admission, NotAdmitted};
use super::serve_stream::{self, Acknowledged};
use super::stream::Stream;
use crate::proto::{End, ServerCall, is_guest};
use crate::wire::{Capabilities, Flags, Frame, Op, RefusalReason, SubrouteId};

/// Starts the handler of a request, or says why not.
pub(crate) fn serve(dispatcher: &mut Dispatcher, frame: Frame<'_>, message: &Message) {
    let Dispatcher { link, peer, mesh, turn, wakes, .. } = dispatcher;
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
    let handler = match allowed(peer, mesh, &frame) {
        Ok(handler) => handler,
        Err((reason, text)) => return refuse(link, call, reason, &text),
    };
    let settings = &peer.shared.settings;
    let trailer = frame.trailer.unwrap_or_default();
    let deadline = call.timeout().map(|timeout| turn.now() + timeout);
    let stream = match handler.kind {
        Kind::Single => None,
        Kind::Stream(windows) => {
            let opening = serve_stream::opening(link, &call, windows, trailer.credits, deadline);
            Some(Arc::new(Stream::new(End::Handler, call.mux(), link, &opening, &settings.timeouts)))
        }
    };
    let bytes = frame.payload.len() + trailer.metadata_bytes();
    let mut admission = match Admission::new(link, bytes, handler.kind) {
        Ok(admission) => admission,
        Err(NotAdmitted::Full { limit, what }) => {
            peer.counts.hits.add(limit);
            return refuse(link, call, RefusalReason::Overloaded, &format!("too many {what} are in flight"));
        }
        Err(NotAdmitted::Closed) => return,
    };
    if let Some(stream) = &stream {
        admission.register(call.mux(), Some(Arc::clone(stream)));
        if Acknowledged::of(link, settings) == Acknowledged::AtOnce {
            stream.acknowledge(link);
        }
    }
    let request = Request {
        payload: message.keep(frame.payload),
        peer: Arc::clone(peer),
        mesh: Arc::clone(mesh),
        handler: handler.id,
        subroute: handler.subroute.clone(),
        deadline,
        metadata: trailer.metadata,
        stream: stream.map(|stream| (Arc::clone(link), stream)),
        watch: None,
    };
    let job = Job::new(handler, &request, call, admission);
    if let Some(ended) = job.run(request, turn.now(), wakes) {
        dispatcher.turn.on_handled(ended);
    }
}

/// The handler of a request, if this peer may call it, and may do so now.
fn allowed<'a>(peer: &Peer, mesh: &'a Mesh, frame: &Frame<'_>) -> Result<&'a Arc<Handler>, (RefusalReason, String)> {
    let handler = find(mesh, frame).ok_or_else(|| (RefusalReason::UnknownHandler, unknown(frame)))?;
    if handler.guests == Guests::Refused && is_guest(&peer.name) {
        tell_forbidden(peer, handler);
        return Err((RefusalReason::Forbidden, format!("handler {} is not for guests", frame.head.handler)));
    }
    if peer.shared.is_draining() {
        return Err((RefusalReason::Draining, "this node is about to leave".to_owned()));
    }
    let limit = peer.shared.settings.limits.metadata_bytes_max;
    if frame.trailer.as_ref().is_some_and(|trailer| trailer.metadata_bytes() > limit) {
        peer.counts.hits.add(Limit::MetadataBytes);
        return Err((RefusalReason::BadRequest, format!("the metadata is more than the limit of {limit}")));
    }
    Ok(handler)
}

/// Nobody else hears of it: the middleware is not asked.
fn tell_forbidden(peer: &Peer, handler: &Handler) {
    let Some(untold) = peer.shared.notices.tell(Notice::NotForGuests, &handler.label) else { return };
    let (local, handler) = (&peer.shared.settings.name, &handler.label);
    tracing::warn!(
        target: "grid::call", %local, peer = %peer.name, %handler, untold,
        "a guest calls what is not for guests",
    );
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

fn refuse(link: &Link, call: ServerCall, reason: RefusalReason, text: &str) {
    tracing::debug!(target: "grid::call", mux = call.mux(), handler = %call.handler(), ?reason, "refused");
    let frame = call.on_refuse(reason, text, link.capabilities.contains(Capabilities::TRAILER));
    link.send_control(frame, Lane::Prompt);
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

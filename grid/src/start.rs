//! The start of a call: what must hold before its request goes out, and what goes out.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::Span;

use crate::call::{Call, Shape};
use crate::error::{CallError, LinkError, Refusal};
use crate::rt::{Limit, Link, LinkRef, LinkState, Made, NoSlot, Peer, spans_are_wanted};
use crate::wire::{Capabilities, RefusalReason, TRACEPARENT, Trailer};

/// The current link, if this call can be made on it.
pub(crate) fn usable_link<T, E>(call: &Call<T, E>) -> Result<LinkRef, CallError<E>> {
    let peer = call.connection.peer();
    if peer.shared.is_draining() && call.inherited.made == Made::Elsewhere {
        return Err(CallError::Cancelled);
    }
    let Some(link) = call.connection.link() else { return Err(no_link(peer)) };
    // A v1 peer would close the link over such an id.
    if call.handler.service() > 0 && !link.capabilities.contains(Capabilities::WIDE_HANDLERS) {
        let text = format!("{} speaks only v1, which knows service 0, and this is handler {}", peer.name, call.handler);
        return Err(CallError::Refused(Refusal::new(RefusalReason::UnknownHandler, text)));
    }
    Ok(link)
}

fn no_link<E>(peer: &Peer) -> CallError<E> {
    match peer.state() {
        // Up: just now.
        LinkState::Down(_) | LinkState::Up(_) => CallError::Disconnected(Arc::clone(&peer.name)),
        LinkState::Closed => CallError::Cancelled,
        LinkState::Draining(link) => {
            let why = link.draining().unwrap_or_default();
            let text = format!("{} is about to leave: {why}", peer.name);
            CallError::Refused(Refusal::new(RefusalReason::Draining, text))
        }
    }
}

/// What goes along with the request, if the peer can take it.
pub(crate) fn trailer<T, E>(call: &mut Call<T, E>, link: &Link) -> Result<Trailer, CallError<E>> {
    let limit = call.connection.peer().shared.settings.limits.metadata_bytes_max;
    let mut trailer = Trailer { metadata: std::mem::take(&mut call.metadata), ..Trailer::default() };
    let size = trailer.metadata_bytes();
    if size > limit {
        call.connection.peer().counts.hits.add(Limit::MetadataBytes);
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

/// When a call ends at the latest, and the same in whole milliseconds from its start; 0 stands for never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Deadline {
    pub(crate) at: Option<Instant>,
    pub(crate) millis: u32,
}

impl Deadline {
    /// `None`: it has passed.
    pub(crate) fn of<T, E>(call: &Call<T, E>, now: Instant) -> Option<Self> {
        if let Some(at) = call.until {
            // The middleware has been shown this deadline, so it stays as it is, and the remote's is not before it.
            let left = at.saturating_duration_since(now).as_micros().div_ceil(1000);
            let millis = u32::try_from(left).unwrap_or(u32::MAX);
            return (millis > 0).then_some(Self { at: Some(at), millis });
        }
        let settings = &call.connection.peer().shared.settings;
        let fallback = match call.shape {
            Shape::Single(_) => Some(settings.timeouts.call),
            Shape::Stream { .. } => None,
        };
        let timeout = match (call.timeout, call.deadline) {
            (Some(timeout), _) => Some(timeout),
            (None, Some(_)) => None,
            (None, None) => call.timeout_default.or(fallback),
        };
        let until = |at: Instant| at.saturating_duration_since(now);
        let left = [timeout, call.deadline.map(until), call.inherited.deadline.map(until)];
        let Some(left) = left.into_iter().flatten().min() else { return Some(Self { at: None, millis: 0 }) };
        // Both sides count the same whole milliseconds, and the caller starts: so it is the first to know.
        let millis = u32::try_from(left.as_millis()).unwrap_or(u32::MAX);
        let left = if millis == u32::MAX { left } else { Duration::from_millis(millis.into()) };
        (millis > 0).then(|| Self { at: now.checked_add(left), millis })
    }
}

pub(crate) fn not_begun<T, E>(call: &Call<T, E>, error: NoSlot) -> CallError<E> {
    let peer = &call.connection.peer().name;
    match error {
        NoSlot::Full(max) => {
            call.connection.peer().counts.hits.add(Limit::CallsOut);
            let text = format!("{max} calls are in flight to {peer}, which is the limit of this side");
            CallError::Refused(Refusal::new(RefusalReason::Overloaded, text))
        }
        NoSlot::Closed(LinkError::ShutDown) => CallError::Cancelled,
        NoSlot::Closed(_) => CallError::Disconnected(Arc::clone(peer)),
    }
}

pub(crate) fn span<T, E>(call: &Call<T, E>, mux: u64) -> Span {
    if !spans_are_wanted() {
        return Span::none();
    }
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

//! The handshake of two nodes over a fresh WebSocket.

use std::borrow::Cow;
use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::{Instant, timeout};

use super::accept::Stranger;
use super::dispatch::{Dispatcher, Turn};
use super::driver::Driver;
use super::link::Link;
use super::node::{Mesh, Node, Settings};
use super::peer::Peer;
use super::secure::{self, Shown};
use super::socket::WebSocket;
use super::wakes::Wakes;
use crate::auth::TokensProve;
use crate::error::LinkError;
use crate::proto::{Acceptance, Acceptor, GUEST, Liveness, Remote, dialled};
use crate::tls::Tls;
use crate::transport::NodeName;
use crate::wire::{
    Capabilities, Connect, ConnectResponse, Flags, Header, MessageBytes, Op, PayloadBuf, Trailer, needs_crc,
};

/// The dialling side: introduces itself and waits for the answer.
pub(crate) async fn dial(mut ws: WebSocket, peer: &Peer, token: &str) -> Result<(WebSocket, Arc<Link>), LinkError> {
    let settings = &peer.shared.settings;
    let mut payload = PayloadBuf::new();
    let connect = Connect {
        id: peer.shared.instance,
        host: &settings.name,
        time: settings.clock.now().into(),
        token,
        capabilities: Capabilities::OWN,
        message_bytes_max: own_message_bytes_max(settings),
    };
    connect.put(payload.writer());
    send(&mut ws, Op::Connect, payload).await?;
    let message = ws.receive().await?;
    let answer = dialled(&message).map_err(|error| LinkError::Protocol(error.to_string().into()))?;
    let remote = answer.map_err(|reason| LinkError::Rejected(reason.into()))?;
    let link = link(peer, remote);
    Ok((ws, link))
}

/// The accepting side: waits for the introduction and answers it.
///
/// # Errors
/// The reason of a rejection, which the other side has been told.
pub(super) async fn accept(
    mut ws: WebSocket,
    node: &Node,
    shown: &Shown,
    stranger: &Stranger,
) -> Result<(WebSocket, Arc<Link>, Arc<Peer>), LinkError> {
    let settings = &node.shared.settings;
    let message = ws.receive().await?;
    let acceptor = Acceptor {
        local: &settings.name,
        now: settings.clock.now().into(),
        clock_difference_max: settings.timeouts.clock_difference_max,
        known: |name: &str| {
            stranger.on_name(name);
            node.knows(name)
        },
    };
    let accepted = match acceptor.on_message(&message) {
        Ok(claimed) => {
            let claim = claimed.claim.clone();
            let verdict = AssertUnwindSafe(async { (settings.token_validator)(claim).await }).catch_unwind().await;
            claimed.on_verdict(verdict.unwrap_or_else(|_| Err("the token validator panicked".to_owned())))
        }
        Err(reason) => Err(reason),
    };
    let judged = accepted.and_then(|acceptance| {
        if node.shared.is_draining() {
            return Err("this node is about to leave".to_owned());
        }
        let name = proven(&acceptance.name, shown, settings)?;
        let peer = node.peer(&name).ok_or("too many guests are connected")?;
        Ok((peer, acceptance))
    });
    let answer = ConnectResponse { id: node.shared.instance, ..ConnectResponse::default() };
    match judged {
        Ok((peer, Acceptance { remote, .. })) => {
            let mut answer = ConnectResponse { accepted: true, ..answer };
            // A v1 peer is answered as one of its own would.
            if remote.capabilities != Capabilities::V1 {
                answer.capabilities = Capabilities::OWN;
                answer.message_bytes_max = own_message_bytes_max(settings);
            }
            respond(&mut ws, answer).await?;
            let link = link(&peer, remote);
            Ok((ws, link, peer))
        }
        Err(reason) => {
            respond(&mut ws, ConnectResponse { rejected_reason: &reason, ..answer }).await?;
            // So that the reason is read. A v1 peer does not close its side.
            let _closed_or_not = timeout(LINGER, poll_fn(|cx| ws.socket.poll_linger(cx))).await;
            Err(LinkError::Rejected(reason.into()))
        }
    }
}

/// The name under which somebody is known here who calls itself so: with a certificate, what it is for.
///
/// # Errors
/// It is for another host, or there is none where a name must be proven.
fn proven<'a>(name: &'a str, shown: &Shown, settings: &Settings) -> Result<Cow<'a, str>, String> {
    let is_required = settings.tls.as_ref().is_some_and(Tls::requires_identity);
    match (name.strip_prefix(GUEST), shown) {
        (_, Shown::NoTls) if is_required => {
            Err("this node asks for certificates, and a router before it shows none".to_owned())
        }
        (Some(number), Shown::Certificate(certificate)) => match certificate.name() {
            Some(host) => Ok(format!("{GUEST}{host}/{number}").into()),
            None if is_required => Err("the certificate that was shown has no name of a host".to_owned()),
            None => Ok(name.into()),
        },
        (None, Shown::Certificate(certificate)) => match NodeName::parse(name) {
            Ok(NodeName { host, .. }) if certificate.is_for(&host) => Ok(name.into()),
            _ => Err(format!("the certificate that was shown is not for {name}")),
        },
        // Whoever dials could say so.
        (None, Shown::NoCertificate) if secure::is_secured(name) => Err(format!("{name} must show a certificate")),
        // Certificates prove names at this node's own port, and here nothing would.
        (None, Shown::NoTls)
            if secure::is_secured(name) && proves_names(settings) && settings.tokens_prove == TokensProve::Nothing =>
        {
            Err("this node has neither a secret nor a validator, and a router before it shows no certificates"
                .to_owned())
        }
        (_, Shown::NoTls | Shown::NoCertificate) => Ok(name.into()),
    }
}

fn proves_names(settings: &Settings) -> bool {
    settings.tls.is_some() && secure::is_secured(&settings.name)
}

/// The driver of a link whose handshake is over.
pub(crate) fn driver(mut ws: WebSocket, link: Arc<Link>, peer: &Arc<Peer>, mesh: &Arc<Mesh>) -> Driver {
    ws.end_handshake(&peer.counts);
    let settings = &peer.shared.settings;
    let liveness = Liveness::new(settings.timeouts.dead_after, Instant::now().into_std());
    let dispatcher = Dispatcher {
        link,
        peer: Arc::clone(peer),
        mesh: Arc::clone(mesh),
        liveness,
        turn: Turn::default(),
        wakes: Wakes::default(),
    };
    Driver::new(ws, dispatcher, settings)
}

fn link(peer: &Peer, remote: Remote) -> Arc<Link> {
    let settings = &peer.shared.settings;
    let remote = Remote { capabilities: remote.capabilities.intersection(Capabilities::OWN), ..remote };
    let crc = if needs_crc(&settings.name, &peer.name) { Flags::CRC } else { Flags::NONE };
    let (counts, quota) = (Arc::clone(&peer.counts), Arc::clone(peer.shared.quota(&peer.name)));
    Arc::new(Link::new(&remote, crc, &settings.limits, counts, quota))
}

fn own_message_bytes_max(settings: &Settings) -> MessageBytes {
    u64::try_from(settings.limits.message_bytes_max).ok()
}

async fn respond(ws: &mut WebSocket, answer: ConnectResponse<'_>) -> Result<(), LinkError> {
    let mut payload = PayloadBuf::new();
    answer.put(payload.writer());
    send(ws, Op::ConnectResponse, payload).await
}

async fn send(ws: &mut WebSocket, op: Op, payload: PayloadBuf) -> Result<(), LinkError> {
    let frame = payload.seal(Header::new(op, 0, Flags::NONE), &Trailer::default(), None);
    ws.send(frame.as_bytes()).await
}

/// Bytes that are read before a handshake is over: names and tokens of some kilobytes, and calls right behind them.
pub(crate) const HANDSHAKE_BYTES_MAX: usize = 64 << 10;
/// How long a rejected peer may take to close its side: a round trip, generously.
const LINGER: Duration = Duration::from_secs(1);

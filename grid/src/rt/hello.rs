//! The handshake of two nodes over a fresh WebSocket.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::dispatch::Dispatcher;
use super::driver::{Driver, Masks};
use super::link::Link;
use super::node::{Mesh, Node};
use super::peer::Peer;
use super::socket::Socket;
use crate::error::LinkError;
use crate::proto::{Acceptance, Acceptor, Liveness, dialled};
use crate::wire::{
    Capabilities, Connect, ConnectResponse, Flags, Header, InstanceId, Op, PayloadBuf, Trailer, needs_crc,
};

type Ws = WebSocketStream<Socket>;

/// The dialling side: introduces itself and waits for the answer.
pub(crate) async fn dial(mut ws: Ws, peer: &Peer) -> Result<(Ws, Arc<Link>), LinkError> {
    let settings = &peer.shared.settings;
    let token = (settings.token_source)(&peer.name);
    let mut payload = PayloadBuf::new();
    let connect = Connect {
        id: peer.shared.instance,
        host: &settings.name,
        time: SystemTime::now().into(),
        token: &token,
        capabilities: Capabilities::OWN,
    };
    connect.put(payload.writer());
    send(&mut ws, Op::Connect, payload).await?;
    let message = receive(&mut ws).await?;
    let answer = dialled(&message).map_err(|error| LinkError::Protocol(error.to_string().into()))?;
    let (instance, capabilities) = answer.map_err(|reason| LinkError::Rejected(reason.into()))?;
    let link = link(&ws, peer, instance, capabilities);
    Ok((ws, link))
}

/// The accepting side: waits for the introduction and answers it.
///
/// # Errors
/// The reason of a rejection, which the other side has been told, with the name that it gave itself if it got so far.
pub(crate) async fn accept(mut ws: Ws, node: &Node) -> Result<(Ws, Arc<Link>, Arc<Peer>), LinkError> {
    let settings = &node.shared.settings;
    let message = receive(&mut ws).await?;
    let acceptor = Acceptor {
        local: &settings.name,
        now: SystemTime::now().into(),
        clock_difference_max: settings.timeouts.clock_difference_max,
        known: |name: &str| node.knows(name),
        validate: &*settings.token_validator,
    };
    let judged = acceptor.on_message(&message).and_then(|acceptance| {
        if node.shared.is_draining() {
            return Err("this node is about to leave".to_owned());
        }
        let peer = node.peer(&acceptance.name).ok_or("too many guests are connected")?;
        Ok((peer, acceptance))
    });
    match judged {
        Ok((peer, Acceptance { id, capabilities, .. })) => {
            // A v1 peer is answered as one of its own would.
            let own = if capabilities == Capabilities::V1 { Capabilities::V1 } else { Capabilities::OWN };
            respond(&mut ws, node.shared.instance, "", own).await?;
            let link = link(&ws, &peer, id, capabilities);
            Ok((ws, link, peer))
        }
        Err(reason) => {
            respond(&mut ws, node.shared.instance, &reason, Capabilities::V1).await?;
            Err(LinkError::Rejected(reason.into()))
        }
    }
}

/// The driver of a link whose handshake is over.
pub(crate) fn driver(mut ws: Ws, masks: Masks, link: Arc<Link>, peer: &Arc<Peer>, mesh: &Arc<Mesh>) -> Driver {
    ws.get_mut().collect_writes();
    let settings = &peer.shared.settings;
    let liveness = Liveness::new(settings.timeouts.dead_after, Instant::now().into_std());
    let dispatcher = Dispatcher { link, peer: Arc::clone(peer), mesh: Arc::clone(mesh), liveness };
    Driver::new(ws, masks, dispatcher, settings)
}

fn link(ws: &Ws, peer: &Peer, instance: InstanceId, capabilities: Capabilities) -> Arc<Link> {
    let settings = &peer.shared.settings;
    let capabilities = capabilities.intersection(Capabilities::OWN);
    let crc = if needs_crc(&settings.name, &peer.name) { Flags::CRC } else { Flags::NONE };
    Arc::new(Link::new(capabilities, crc, instance, &settings.limits, ws.get_ref().counts()))
}

/// An empty reason accepts.
async fn respond(ws: &mut Ws, id: InstanceId, reason: &str, capabilities: Capabilities) -> Result<(), LinkError> {
    let mut payload = PayloadBuf::new();
    let accepted = reason.is_empty();
    ConnectResponse { id, accepted, rejected_reason: reason, capabilities }.put(payload.writer());
    send(ws, Op::ConnectResponse, payload).await
}

async fn send(ws: &mut Ws, op: Op, payload: PayloadBuf) -> Result<(), LinkError> {
    let frame = payload.seal(Header::new(op, 0, Flags::NONE), &Trailer::default(), None);
    let sent = ws.send(Message::Binary(Bytes::copy_from_slice(frame.as_bytes()))).await;
    sent.map_err(|error| LinkError::Closed(error.to_string().into()))
}

/// The next binary message.
async fn receive(ws: &mut Ws) -> Result<Bytes, LinkError> {
    loop {
        match ws.next().await {
            Some(Ok(Message::Binary(bytes))) => return Ok(bytes),
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(LinkError::Closed(error.to_string().into())),
            None => return Err(LinkError::Closed("the websocket was closed in the handshake".into())),
        }
    }
}

/// Bytes that are read before a handshake is over: names and tokens of some kilobytes, and calls right behind them.
pub(crate) const HANDSHAKE_BYTES_MAX: usize = 64 << 10;

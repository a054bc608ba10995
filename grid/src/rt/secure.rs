//! TLS between a byte stream and its WebSocket, for names that ask for it.

use std::io;

use super::node::Settings;
use super::socket::BoxIo;
use crate::error::LinkError;
use crate::tls::Certificate;
use crate::transport::{NodeName, Scheme};

/// The stream to the peer of this name.
pub(super) async fn dial(io: BoxIo, peer: &str, settings: &Settings) -> Result<BoxIo, LinkError> {
    match (&settings.tls, secured(peer)) {
        (Some(tls), Some(host)) => tls.connect(&host, io).await.map_err(|error| failed(peer, &error)),
        _ => Ok(io),
    }
}

/// The stream of whoever connects, and what certificate was shown.
pub(super) async fn accept(io: BoxIo, settings: &Settings) -> Result<(BoxIo, Option<Certificate>), LinkError> {
    match (&settings.tls, secured(&settings.name)) {
        (Some(tls), Some(_)) => tls.accept(io).await.map_err(|error| failed("whoever connects", &error)),
        _ => Ok((io, None)),
    }
}

/// The host of a name that asks for TLS.
fn secured(name: &str) -> Option<Box<str>> {
    NodeName::parse(name).ok().filter(|name| name.scheme == Scheme::Https).map(|name| name.host)
}

fn failed(peer: &str, error: &io::Error) -> LinkError {
    LinkError::Tls(format!("{peer}: {error}").into())
}

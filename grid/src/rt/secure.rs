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

/// What whoever connects has shown of who it is.
#[derive(Debug)]
pub(super) enum Shown {
    /// This side has spoken no TLS with it; a router may have.
    NoTls,
    NoCertificate,
    Certificate(Certificate),
}

/// The stream of whoever connects.
pub(super) async fn accept(io: BoxIo, settings: &Settings) -> Result<(BoxIo, Shown), LinkError> {
    match (&settings.tls, secured(&settings.name)) {
        (Some(tls), Some(_)) => match tls.accept(io).await {
            Ok((io, certificate)) => Ok((io, certificate.map_or(Shown::NoCertificate, Shown::Certificate))),
            Err(error) => Err(failed("whoever connects", &error)),
        },
        _ => Ok((io, Shown::NoTls)),
    }
}

/// Whether a name asks for TLS.
pub(super) fn is_secured(name: &str) -> bool {
    secured(name).is_some()
}

/// The host of a name that asks for TLS.
fn secured(name: &str) -> Option<Box<str>> {
    NodeName::parse(name).ok().filter(|name| name.scheme == Scheme::Https).map(|name| name.host)
}

fn failed(peer: &str, error: &io::Error) -> LinkError {
    LinkError::Tls(format!("{peer}: {error}").into())
}

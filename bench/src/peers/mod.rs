//! What is measured: a file for each peer, which starts its server and connects its client.

mod bare_mux;
mod bare_streams;
pub(crate) mod capnp;
mod grid;
mod grid_bulk;
mod grid_unary;
mod jsonrpsee;
pub(crate) mod raw;
mod secure;
mod tarpc;
mod tonic;
mod wire;

pub(crate) use self::bare_mux::BareMux;
pub(crate) use self::bare_streams::BareStreams;
pub(crate) use self::grid::Grid as GridStreams;
pub(crate) use self::grid_unary::{Grid, GridBytes};
pub(crate) use self::jsonrpsee::Jsonrpsee;
pub(crate) use self::secure::{SecureGrid, SecureTonic, SecureWebSocket};
pub(crate) use self::tarpc::Tarpc;
pub(crate) use self::tonic::Tonic;
pub(crate) use self::wire::{Tcp, WebSocket};

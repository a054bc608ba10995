//! grid
mod arguments;
mod auth;
#[cfg(feature = "axum")]
mod axum;
mod builder;
mod call;
mod call_future;
mod codec;
mod connection;
mod context;
mod description;
mod error;
mod handler;
mod limits;
mod manager;
mod proto;
mod rt;
mod transport;
mod types;
mod wire;

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;

pub use builder::{Connect, ManagerBuilder, connect};
pub use call::Call;
pub use call_future::CallFuture;
pub use connection::{Connection, ConnectionStats, State};
pub use context::Context;
pub use description::{ArgumentDescription, Codec, Describe, MethodDescription, MethodKind, ServiceDescription};
pub use error::{
    CallError, CodecError, ConnectError, LinkError, Refusal, RemoteError, ShutDown, StartError, UnknownPeer,
};
pub use grid_macros::service;
pub use handler::Service;
pub use limits::{Limits, Timeouts};
pub use manager::Manager;
pub use proto::Claim;
pub use transport::{BoxIo, Connector, Io};
pub use wire::{HandlerId, RefusalReason};

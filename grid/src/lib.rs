//! RPC between the servers of one system: a trait becomes stubs and glue over one two-way connection per pair of nodes.
//!
//! ```
//! # use std::net::TcpListener;
//! #[grid::service(id = 1)]
//! trait Hello {
//!     async fn greet(&self, name: &str) -> String;
//! }
//!
//! struct Greeter;
//!
//! impl Hello for Greeter {
//!     async fn greet(&self, name: &str) -> String {
//!         format!("Hello, {name}!")
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let listener = TcpListener::bind("127.0.0.1:0")?;
//! # let url = format!("http://{}", listener.local_addr()?);
//! # let url = url.as_str();
//! let node = grid::Manager::builder(url).allow_guests([HelloClient::GREET]).serve(HelloServer::new(Greeter));
//! # let node = node.listener(listener);
//! let node = node.start().await?;
//!
//! let hello = HelloClient::new(grid::connect(url).await?);
//! assert_eq!(hello.greet("grid").await?, "Hello, grid!");
//! # Ok(())
//! # }
//! ```
//!
//! # What it is, and when to use something else
//!
//! Between every two nodes there is one WebSocket connection, which carries many calls at once in both directions. There
//! is no client and no server: either node calls the other. Calls have deadlines, which travel; a call that is dropped
//! is cancelled on the remote too; a peer that dies is noticed, and dialled again until it is back.
//!
//! It is made for the servers of one system, which know and trust each other. Take something else if
//!
//! - browsers, other languages or strangers call: gRPC and HTTP APIs are made for that (a Go node of the MinIO grid is
//!   the exception, see [the v1 protocol](#v1-peers));
//! - calls must survive a crash or be delivered at least once: that is the work of a queue. grid resends nothing;
//! - the two ends are not long-lived: one request per process is served better by one HTTP request.
//!
//! Without TLS (feature `tls`, [`ManagerBuilder`]'s `tls`, names that begin with `https://`), run grid on a network
//! that you trust.
//!
//! # A tour
//!
//! **Services.** [`#[grid::service(id = N)]`](macro@service) on a trait generates `..Client`, `..Server` and constants
//! that describe them. Methods are numbered by their place or by `#[rpc(id = K)]`; adding one at the end stays
//! compatible, and so does an `Option` argument of a method that has two or more. Arguments may borrow: the server
//! decodes them out of the received bytes. Errors are any serde type, sent whole.
//!
//! **Nodes.** [`Manager::builder`] takes the node's own name, a URL under which its peers know it, and theirs. Which of
//! two nodes dials follows from their names. [`start`](ManagerBuilder::start) listens at the host and port of the name;
//! [`listen`](ManagerBuilder::listen) elsewhere; `Manager::router` (feature `axum`) mounts the node beside other routes;
//! [`Manager::accept`] takes byte streams of any kind.
//!
//! **Connections.** [`Manager::connection`] gives a cheap handle that survives reconnects. Calls do not wait for a link:
//! without one they end with [`CallError::Disconnected`] at once, also right after the start. [`Connection::ready`] waits
//! for a link, [`Connection::changes`] watches it come and go, [`Connection::stats`] counts.
//! [`Connection::subroute`] leads to one of several instances of a service, served with
//! [`serve_at`](ManagerBuilder::serve_at).
//!
//! **Calls.** A method of a client gives a [`Call`], which starts when it is awaited: `kv.get("a").await`,
//! `kv.get("a").timeout(Duration::from_millis(50)).await`. How it failed says [`CallError`]: whose fault it was, and for
//! a [`Refusal`] why, so that a caller can tell what is worth trying again. A call that is given no time has
//! that of its method or [`Timeouts::call`], 60 s.
//!
//! **Streams.** A method may return `impl Stream`, take an [`Inbound`] of items that its caller sends, an [`Outbound`]
//! for items of its own, or both. Its client gives the other halves: an [`Inbound`], which is a futures `Stream`, an
//! [`Outbound`], which is a `Sink`, an [`AnswerFuture`]. Items flow against credits, so a slow reader holds up its own
//! sender and nothing else. How far ends may run ahead, how streams end, and the one deadlock that is left: see the
//! [guide](streams).
//!
//! **Handlers** are plain methods. One that takes `cx: &Context` learns who calls ([`Context::caller`]), how long is
//! left ([`Context::remaining`]) and what the caller sent along by [`Call::metadata`] ([`Context::metadata`]). It
//! reaches the peers of its own node by [`Context::peer`], and calls its caller back by [`Context::connection`]. Calls
//! that it makes inherit its remaining time. It must not block its thread: what does, goes into
//! `tokio::task::spawn_blocking`, as its link, and deadlines of others, may stand still meanwhile. A handler that
//! panics ends its own call, whose caller gets the text of the panic behind words of v1; the node goes on.
//!
//! **Middleware.** [`ManagerBuilder::middleware`] puts a [`Middleware`] before all handlers of a node and before all
//! calls that it makes. It sees names, caller, subroute, metadata, deadline, request, items and outcome, lets a call
//! pass or refuses it, and may add metadata: for rights, rates, logs and measures, which the example `guarded` shows.
//!
//! **Guests.** [`grid::connect`](connect) connects a process that is no node of the mesh: a client, a job, a test. The
//! node must [`allow_guests`](ManagerBuilder::allow_guests), who may call what it lists, and the guest know its secret.
//! It can serve, too, and be called back:
//! `grid::connect(url).shared_secret(secret).serve(ProgressServer::new(printer)).await?`.
//!
//! **Leaving.** [`Manager::shutdown`] refuses new calls, tells the peers, waits for running calls for up to
//! [`Timeouts::drain`], and closes. Dropping the last [`Manager`] ends the node without
//! waiting for anything, so its port may still be taken for a moment.
//!
//! # One outcome
//!
//! A call ends exactly once, however the races between its answer, its deadline, its cancellation and the loss of the
//! link fall. When the link is lost, every call on it ends with [`CallError::Disconnected`] and every handler that runs
//! for it is dropped. Whether such a call did its work is not known; nothing is resent.
//!
//! # Cancel safety
//!
//! - A [`Call`] that is dropped is cancelled: at once here, and on the remote, which drops the handler's future at its
//!   next await. Methods with `#[rpc(detach)]` run on to their end, and only their answers are dropped.
//! - A half of a stream that is dropped before its end cancels the call as well. The futures of [`Inbound::next`] and
//!   [`Outbound::send`] may be dropped and made again: nothing is lost, and nothing was sent.
//! - [`Connection::ready`], [`Connection::changes`], [`Manager::closed`] and [`Manager::shutdown`] may be dropped and
//!   called again; a shutdown that was begun goes on.
//! - A handler's future may be dropped at each of its awaits: by its caller, its deadline, or a lost link. What must not
//!   be left half done belongs in a task of its own, or in a method that is detached.
//!
//! # Limits
//!
//! All that a peer or a caller can make a node hold has a limit, with a default and a reason: see [`Limits`] and
//! [`Timeouts`]. Reaching one is an error that says so, on the side that can act on it. What is in flight waits in
//! memory only: about 100 bytes per call beside its payload on the calling side, a task on the serving side.
//!
//! # Observing
//!
//! Through [`tracing`](https://docs.rs/tracing), which costs next to nothing when nobody listens:
//!
//! | target | level | what | fields |
//! |---|---|---|---|
//! | `grid::node` | info, warn | a drain begins; calls or detached handlers still run at its end, a handler blocks a link, or a peer does not take what is queued for it | `name`, `links` |
//! | `grid::link` | info | `connected`, `disconnected`, at the start `waiting to be dialled` | `local`, `peer`, `instance`, `why` |
//! | `grid::link` | warn | connections cannot be accepted: warned once per fault, and anew after a minute without it | `error` |
//! | `grid::link` | warn, then debug | a peer cannot be connected: warned once per fault, however often it is tried | `local`, `peer`, `why` |
//! | `grid::link` | warn, then debug | a connection was refused: warned once a minute for each sort of fault, with how many were not | `local`, `peer` as it calls itself, `from`, `why`, `untold` |
//! | `grid::link` | warn | two processes go by one name: once a minute | `local`, `peer`, `untold` |
//! | `grid::call` | warn | a guest calls what is not for guests: once a minute for each handler | `local`, `peer`, `handler`, `untold` |
//! | `grid::call` | debug span `call` | a call of this node | `handler`, `service`, `method`, `peer`, `mux`, `subroute` |
//! | `grid::call` | debug span `serve` | a call that this node serves | `handler`, `peer`, `mux`, `subroute`, `traceparent` |
//! | `grid::call` | debug | how a call failed; a refusal | `outcome`, `reason` |
//! | `grid::call` | error | a handler panicked; a middleware panicked at the end of a call | `panic`; `call` |
//! | `grid::frame` | trace, debug | each frame; what was ignored | `op`, `mux`, `seq`, `bytes` |
//!
//! The `mux` of the two spans of a call is the same number, which with the names of both nodes ties them together. A
//! `traceparent` given by [`Call::metadata`] is passed on to the calls that its handler makes.
//!
//! # v1 peers
//!
//! grid speaks the MinIO grid protocol v1. A peer that speaks only that is called by service 0, whose methods are its
//! handler ids, with `.route("/minio/grid/v1")` and a [`token_source`](ManagerBuilder::token_source) that it accepts;
//! or by [`Connection::single`] and [`Connection::stream`], with bytes. Streams need the same [`Windows`] on both sides
//! there: `#[rpc(window = N)]`. What grid adds (other services, metadata, reasons, remote cancellation, drain notices)
//! is left out towards such a peer. An answer there is an `E` or a text: use [`RemoteError`].
//!
//! # Features
//!
//! - `axum`: `Manager::router`, to mount a node on a router beside other routes.
//! - `tls`: `Tls`, for links over TLS and callers that are known by their certificates. It compiles a little C.
//! - `sim`: the module `sim`, for tests: nodes on a simulated network under simulated clocks, with faults, from one seed.

#[cfg(doc)]
#[doc = include_str!("../docs/streams.md")]
pub mod streams {}

mod answer_future;
mod arguments;
mod asked;
mod auth;
#[cfg(feature = "axum")]
mod axum;
mod builder;
mod call;
mod call_future;
mod call_info;
mod clock;
mod codec;
mod common;
mod connect;
mod connection;
mod context;
mod decoder;
mod description;
mod error;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
mod half;
mod handler;
mod inbound;
mod limits;
mod manager;
mod middleware;
mod outbound;
mod outcome;
mod proto;
mod rt;
#[cfg(feature = "sim")]
pub mod sim;
mod spare;
mod start;
mod text;
#[cfg_attr(not(feature = "tls"), path = "no_tls.rs")]
mod tls;
mod transport;
mod types;
mod windows;
mod wire;

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;
#[cfg(grid_bench)]
#[doc(hidden)]
pub mod internals;

pub use answer_future::AnswerFuture;
pub use builder::ManagerBuilder;
pub use call::Call;
pub use call_future::CallFuture;
pub use call_info::{CallInfo, Direction};
pub use connect::{Connect, connect};
pub use connection::{Connection, ConnectionStats, State};
pub use context::Context;
pub use description::{ArgumentDescription, Codec, Describe, MethodDescription, MethodKind, ServiceDescription};
pub use error::{
    CallError, CodecError, ConnectError, LinkError, MethodError, Refusal, RemoteError, SendError, ShutDown, StartError,
    UnknownPeer,
};
pub use futures_core::Stream;
pub use grid_macros::service;
pub use handler::Service;
pub use inbound::Inbound;
pub use limits::{LimitHits, Limits, Timeouts};
pub use manager::{Manager, NodeStats};
pub use middleware::Middleware;
pub use outbound::Outbound;
pub use proto::Claim;
#[cfg(feature = "tls")]
pub use tls::{Tls, TlsError};
pub use transport::{BoxIo, Connector, Io};
pub use windows::Windows;
pub use wire::{HandlerId, RefusalReason};

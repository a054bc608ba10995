//! The driver: tasks, locks and sockets around the machines of `proto`.
//!
//! - A [`Node`] owns what its peers share and the tasks that dial and accept.
//! - A [`Peer`] is the lasting relation to one other node; its state holds the current [`Link`], if there is one.
//! - A [`Link`] is one WebSocket: a [`Table`](table::Table) of calls made on it, the calls of the peer that run for it,
//!   and an [`Outbox`](outbox::Outbox). One task, the [`Driver`](driver::Driver), reads, dispatches and writes it.
//!   When it ends, all that belongs to it ends with it.
//!
//! # Locks
//!
//! Order: a table shard, or all in their order, or what a stream sends; then the outbox queue. A handle's view of its
//! peer, then the state of that. What a stream has received, the running calls of a link, the guests of a node, its
//! notices for the log and the processes behind a peer are locked alone. Nothing is held across an await, a system
//! call, encoding, a wake-up, the end of a link or user code; but the sending lock of a stream is held while one frame
//! of it is sealed and queued, so that its number is its place; that may wake the driver.
//!
//! # Who waits for whom
//!
//! The driver waits for nobody: it reads whether or not it can write, and its own replies go past the outbox's limit into a
//! budget of their own. Callers and handlers wait for room in the outbox. A handler runs in a task of its own, or for its
//! first poll in the driver, if it has shown that it is quick ([`Pace`](pace::Pace)).

mod accept;
mod bulk;
mod changing;
mod counts;
mod dial;
mod dispatch;
mod driver;
mod ended;
mod hand;
mod handshakes;
mod hello;
mod hits;
mod inflow;
mod inherit;
mod job;
mod lane;
mod line;
mod link;
mod log_once;
mod message;
#[cfg(all(test, grid_loom))]
mod models;
mod node;
mod opening;
mod outbox;
mod pace;
mod peer;
mod quota;
mod registry;
mod running;
mod secure;
mod serve;
mod serve_stream;
mod sleeper;
mod slots;
mod socket;
mod stream;
mod stream_out;
mod sync;
mod table;
mod upgrade;
mod wakes;
mod watched;
mod websocket;
mod writer;

pub(crate) use dial::{Attached, dial_once, keep_connected};
pub(crate) use ended::Ended;
pub(crate) use hits::Limit;
pub(crate) use inherit::{Inherited, Made, inherited};
pub(crate) use job::spans_are_wanted;
pub(crate) use lane::Lane;
pub(crate) use line::{Line, LinkRef};
pub(crate) use link::Link;
pub(crate) use node::{Guard, Guests, Mesh, Node, Settings, Shared};
pub(crate) use opening::Opening;
pub(crate) use outbox::{Closed, TryPush};
pub(crate) use pace::Pace;
pub(crate) use peer::{LinkState, Peer};
pub use registry::{Answer, Failure, Serving};
pub(crate) use registry::{Handler, Kind, Registry, Request};
pub(crate) use serve_stream::refuse as refuse_stream;
pub use socket::{BoxIo, Io};
pub(crate) use stream::{DEADLINE_GRACE, Next, Stream};
pub(crate) use stream_out::{NotSent, StreamEnded};
pub(crate) use table::{Cancelled, NoSlot};
#[cfg(feature = "axum")]
pub(crate) use {accept::Stranger, upgrade::answer as answer_upgrade};
#[cfg(grid_bench)]
pub(crate) use {hand::Hand, message::Message, outbox::Outbox};
#[cfg(any(test, fuzzing))]
pub(crate) use {
    socket::{Socket, WebSocket},
    table::Met,
    upgrade::{accept as accept_http, dial as dial_http},
    websocket::{Inbox, Masks, Received, apply_mask},
};
#[cfg(any(test, fuzzing, grid_bench))]
pub(crate) use {table::Table, wakes::Wakes};

//! The protocol as small pure machines: what a call and a link do with each input.
//!
//! Inputs are methods; what comes back says what to send and what to deliver. No task, lock, clock or randomness: the
//! driver in `rt` owns those and passes times in. The unit is the call; nothing here couples two of them.

mod batch;
mod client_call;
mod handshake;
mod liveness;
mod pulse;
mod receiving;
mod sending;
mod server_call;
mod window;

pub(crate) use batch::{Batch, held_bytes};
pub(crate) use client_call::{Outcome, cancellation, outcome};
pub use handshake::Claim;
pub(crate) use handshake::{Acceptance, Acceptor, GUEST, Remote, dialled, is_guest};
pub(crate) use liveness::{Beat, Liveness, Moved};
pub(crate) use pulse::{Pulse, PulseBeat};
pub(crate) use receiving::{Event, Over, Receiving, Take};
pub(crate) use sending::{End, Sending, Size};
pub(crate) use server_call::{Reply, ServerCall};
pub(crate) use window::{Ahead, Memory, Window};

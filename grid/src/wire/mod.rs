//! Bytes to frames and back: the grid protocol v1 and what grid adds to it.
//!
//! Owns every fact about the layout of a message. Pure: no clock, no socket, no lock, no randomness; times, ids and
//! seeds are arguments. Decoding borrows from the received message and checks each length and range once, so that what
//! comes out cannot be wrong; encoding writes into the buffer that is sent.
//!
//! Knows nothing of calls: what a frame means is the business of `proto`.

mod frame;
mod handler_id;
mod hash;
mod hello;
mod merge;
mod msgpack;
mod ping;
mod refusal;
mod subroute;
mod time;
mod trailer;
#[cfg(test)]
mod vectors;

pub(crate) use frame::{EncodedFrame, Flags, Frame, Header, Op, PayloadBuf};
pub use handler_id::HandlerId;
pub(crate) use hash::{local_dials, needs_crc};
pub(crate) use hello::{Capabilities, Connect, ConnectResponse, InstanceId, MessageBytes};
pub(crate) use merge::{Pack, Packed, elements};
pub(crate) use msgpack::{DecodeError, Reader, is_one_value};
pub(crate) use ping::{Ping, Pong};
pub(crate) use refusal::MuxConnectError;
pub use refusal::RefusalReason;
pub(crate) use subroute::{Subroute, SubrouteId};
pub(crate) use time::WireTime;
pub(crate) use trailer::{TRACEPARENT, Trailer};

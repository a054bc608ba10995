//! A scripted peer that shares no code with grid: it does HTTP, WebSocket and frames by hand, so that it can say
//! anything, and finds fault with all that a v1 peer would not say.
//!
//! - [`RawPeer`] is one byte stream: it sends any bytes, and reads heads, WebSocket frames and [`Frame`]s.
//! - [`Script`] is a peer by name: it makes links with the node under test, in whichever direction.
//! - [`Rig`] is a node under test with a scripted peer, and a second one that must not be disturbed.

mod captured;
mod frame;
mod gate;
mod hello;
mod http;
mod peer;
mod rig;
mod script;
mod websocket;

pub use captured::{as_captured, captured_windows, counted};
pub use frame::{Frame, checksum, encode_value, flag, frames_of, map, merge, op, subroute_id};
pub use gate::{Gate, Visit};
pub use hello::{Hello, connect_response, now_secs, time, zero_time};
pub use http::{Head, KEY, accept_key};
pub use peer::{Bytes, RawPeer, Role, let_pass, within};
pub use rig::{ECHO, GATE, Rig, Setup, idle};
pub use script::{AddressBook, ROUTE, SIDES, Script, Side, Window, dials, listen};
pub use websocket::{LengthForm, WsFrame, opcode};

//! What the fuzzer runs: for each target a function of any bytes, which panics if grid does something that it must not.
//!
//! Here are the targets that look inside grid; the driver of the fuzzer and the corpora are in `fuzz/` of the
//! repository, and a test runs each target on its corpus. No part of what grid promises: it is there for tests and with
//! `--cfg fuzzing` alone.

mod beats;
mod calls;
mod choices;
mod end;
mod frame;
mod handshake;
mod hostile;
mod merge;
#[cfg(test)]
mod replay;
mod streams;
mod upgrade;
pub(crate) mod value;
mod way;
mod websocket;

pub use beats::beats;
pub use calls::calls;
pub use frame::frame;
pub use handshake::handshake;
pub use hostile::hostile;
pub use merge::merge;
pub use streams::streams;
pub use upgrade::upgrade;
pub use value::value;
pub use websocket::websocket;

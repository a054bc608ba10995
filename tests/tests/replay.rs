//! The captured conversations of two Go nodes, with a grid node in the place of either: what it sends is what the Go
//! node sent, frame by frame, but for ids, times and tokens.

#[path = "replay/calls.rs"]
mod calls;
#[path = "replay/link.rs"]
mod link;
#[path = "replay/stage.rs"]
mod stage;
#[path = "replay/stream_caller.rs"]
mod stream_caller;
#[path = "replay/stream_handler.rs"]
mod stream_handler;
#[path = "replay/streams.rs"]
mod streams;

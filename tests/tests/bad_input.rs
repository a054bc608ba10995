//! A node and a peer that says what it should not, or what v1 allows and nobody does. Another peer of the node must not
//! feel any of it.

#[path = "bad_input/additions.rs"]
mod additions;
#[path = "bad_input/answers.rs"]
mod answers;
#[path = "bad_input/calls.rs"]
mod calls;
#[path = "bad_input/floods.rs"]
mod floods;
#[path = "bad_input/frames.rs"]
mod frames;
#[path = "bad_input/merges.rs"]
mod merges;
#[path = "bad_input/strangers.rs"]
mod strangers;
#[path = "bad_input/streams.rs"]
mod streams;
#[path = "bad_input/streams_left.rs"]
mod streams_left;
#[path = "bad_input/streams_made.rs"]
mod streams_made;
#[path = "bad_input/streams_served.rs"]
mod streams_served;
#[path = "bad_input/websocket.rs"]
mod websocket;

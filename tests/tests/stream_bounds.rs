//! What is bounded whatever else goes on: memory of unread items and of openings, the time of a stream on a slow link
//! or of one at which nobody looks, and what senders wait for. Under virtual time.

#[path = "stream_bounds/deadlines.rs"]
mod deadlines;
#[path = "stream_bounds/halves.rs"]
mod halves;
#[path = "stream_bounds/openings.rs"]
mod openings;
#[path = "stream_bounds/sinks.rs"]
mod sinks;
#[path = "stream_bounds/unread.rs"]
mod unread;

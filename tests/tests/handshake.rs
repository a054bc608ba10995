//! The handshake of a node with a scripted peer: what is rejected and how that reads, who is too slow or says too much.

#[path = "handshake/counters.rs"]
mod counters;
#[path = "handshake/dialling.rs"]
mod dialling;
#[path = "handshake/liveness.rs"]
mod liveness;
#[path = "handshake/memory.rs"]
mod memory;
#[path = "handshake/oddities.rs"]
mod oddities;
#[path = "handshake/rejections.rs"]
mod rejections;
#[path = "handshake/slow.rs"]
mod slow;

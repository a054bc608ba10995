//! Back-pressure: what slow readers, full outboxes and little memory hold up, and what they do not.

#[path = "stream_flow/adapters.rs"]
mod adapters;
#[path = "stream_flow/cancel_safety.rs"]
mod cancel_safety;
#[path = "stream_flow/congestion.rs"]
mod congestion;
#[path = "stream_flow/handlers.rs"]
mod handlers;
#[path = "stream_flow/memory.rs"]
mod memory;
#[path = "stream_flow/nested.rs"]
mod nested;
#[path = "stream_flow/sizes.rs"]
mod sizes;
#[path = "stream_flow/slow_readers.rs"]
mod slow_readers;

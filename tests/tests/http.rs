//! The HTTP part of a connection: what the node answers to requests, what it makes of answers, and the node on a router.

#[path = "http/answers.rs"]
mod answers;
#[path = "http/requests.rs"]
mod requests;
#[path = "http/router.rs"]
mod router;

//! How streams end: each end against each way of being blocked, with windows of one and of many.
//!
//! `cargo test --test stream_ends the_matrix -- --nocapture` prints what became of each.

#[path = "stream_ends/cell.rs"]
mod cell;
#[path = "stream_ends/late.rs"]
mod late;
#[path = "stream_ends/matrix.rs"]
mod matrix;
#[path = "stream_ends/openings.rs"]
mod openings;
#[path = "stream_ends/races.rs"]
mod races;
#[path = "stream_ends/silent.rs"]
mod silent;
#[path = "stream_ends/stage.rs"]
mod stage;

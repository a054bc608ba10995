//! A whole node whose peer says what a fuzzer wants: the targets that need nothing but what is public. The others are
//! in grid itself, the driver and the corpora in `fuzz/` of the repository.
//!
//! - `Wire` is one byte stream to the node, and finds fault with what the node says.
//! - `Stage` is the node, what it serves, and what must be true of it.
//! - [`node()`] and [`bytes()`] are the targets, and [`bounded`] what holds their memory to a bound.

mod calls;
#[path = "../../../grid/src/fuzz/choices.rs"]
mod choices;
mod guard;
mod handlers;
mod memory;
mod script;
mod stage;
mod wire;

pub use memory::bounded;
pub use script::{bytes, node};

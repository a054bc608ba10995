//! What a middleware sees of calls and items on either side, and what it can do to them. Under virtual time.

#[path = "middleware/begins.rs"]
mod begins;
#[path = "middleware/ends.rs"]
mod ends;
#[path = "middleware/items.rs"]
mod items;
#[path = "middleware/stage.rs"]
mod stage;

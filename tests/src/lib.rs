//! What the tests of whole nodes have in common.

pub mod memory;
pub mod mesh;
pub mod probe;

//! What the tests of whole nodes have in common.

pub mod allocator;
pub mod capture;
pub mod fuzz;
pub mod load;
pub mod log;
pub mod memory;
pub mod mesh;
pub mod probe;
pub mod process;
pub mod proxy;
pub mod raw;
pub mod slow;
pub mod streams;

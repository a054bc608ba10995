//! What the memory of a target may be.

use crate::allocator::Counting;

/// Runs a target, in which nothing else allocates meanwhile.
///
/// # Panics
/// It takes more memory than all limits of its node come to, or leaves some behind.
pub fn bounded(allocator: &Counting, target: fn(&[u8]), input: &[u8]) {
    let before = allocator.live().bytes;
    allocator.take_peak();
    target(input);
    let peak = allocator.take_peak().saturating_sub(before);
    assert!(peak <= PEAK_MAX, "{peak} bytes at once for {} of input", input.len());
    let left = allocator.live().bytes.saturating_sub(before);
    assert!(left <= LEFT_MAX, "{left} bytes are left behind");
}

/// A node and its runtime take a fifth of a megabyte, two links what their limits say, and the script what it sends at once.
const PEAK_MAX: usize = 4 << 20;
/// What a thread keeps for later, and what is made once in a process.
const LEFT_MAX: usize = 256 << 10;

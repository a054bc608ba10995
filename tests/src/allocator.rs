//! An allocator that counts, for a test binary of its own:
//!
//! ```
//! #[global_allocator]
//! static ALLOCATOR: grid_tests::allocator::Counting = grid_tests::allocator::Counting::new();
//! ```

#![allow(unsafe_code, reason = "an allocator cannot be written without")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The allocator of the system, counted.
#[derive(Debug)]
pub struct Counting {
    bytes: AtomicUsize,
    blocks: AtomicUsize,
    peak: AtomicUsize,
}

/// What is allocated and not freed yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Live {
    pub bytes: usize,
    pub blocks: usize,
}

impl Counting {
    /// Counts from nothing.
    #[expect(clippy::new_without_default, reason = "it stands in a static")]
    pub const fn new() -> Self {
        Self { bytes: AtomicUsize::new(0), blocks: AtomicUsize::new(0), peak: AtomicUsize::new(0) }
    }

    /// What is allocated right now.
    pub fn live(&self) -> Live {
        Live { bytes: self.bytes.load(Ordering::SeqCst), blocks: self.blocks.load(Ordering::SeqCst) }
    }

    /// The most bytes that were allocated at once since the last time that this was asked.
    pub fn take_peak(&self) -> usize {
        self.peak.swap(self.bytes.load(Ordering::SeqCst), Ordering::SeqCst)
    }

    fn on_alloc(&self, bytes: usize) {
        let live = self.bytes.fetch_add(bytes, Ordering::SeqCst) + bytes;
        self.blocks.fetch_add(1, Ordering::SeqCst);
        self.peak.fetch_max(live, Ordering::SeqCst);
    }

    fn on_free(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::SeqCst);
        self.blocks.fetch_sub(1, Ordering::SeqCst);
    }
}

// SAFETY: every call is handed on to `System` as it is; counting touches none of its memory and does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are those that `System` asks for.
        let block = unsafe { System.alloc(layout) };
        if !block.is_null() {
            self.on_alloc(layout.size());
        }
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) };
        self.on_free(layout.size());
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        let moved = unsafe { System.realloc(block, layout, size) };
        if !moved.is_null() {
            self.on_alloc(size);
            self.on_free(layout.size());
        }
        moved
    }
}

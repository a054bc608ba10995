//! An allocator that counts when it is told to.

#![allow(unsafe_code, reason = "an allocator cannot be written without")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Counts the allocations of the whole process while something runs.
pub(crate) async fn counted<T>(run: impl Future<Output = T>) -> (T, u64) {
    COUNTING.store(true, Ordering::SeqCst);
    let begin = COUNT.load(Ordering::SeqCst);
    let output = run.await;
    COUNTING.store(false, Ordering::SeqCst);
    (output, COUNT.load(Ordering::SeqCst) - begin)
}

/// The allocator of the system. A block that is moved to be larger or smaller is an allocation too.
///
/// Both threads would fight over one count, and more so where less is done beside; so it counts only where nothing else is
/// measured, and else reads a flag that nobody writes.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;
static COUNTING: AtomicBool = AtomicBool::new(false);
static COUNT: AtomicU64 = AtomicU64::new(0);

fn on_alloc() {
    if COUNTING.load(Ordering::Relaxed) {
        COUNT.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: every call is handed on to `System` as it is; counting touches none of its memory and does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        on_alloc();
        // SAFETY: the caller's promises are those that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        on_alloc();
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) };
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        on_alloc();
        // SAFETY: as above.
        unsafe { System.realloc(block, layout, size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_allocated_meanwhile_is_counted() {
        // Other tests allocate at the same time.
        let (_, count) =
            counted(async { (0..1_000).map(|number| drop(std::hint::black_box(Box::new(number)))).count() }).await;
        assert!(count >= 1_000, "{count}");
    }
}

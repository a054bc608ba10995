//! What befalls real processes and real sockets: with real time, each test waits for what happens, and prints how long
//! it took (`cargo test -p grid-tests --test faults -- --nocapture`).

#[path = "faults/child.rs"]
mod child;
#[path = "faults/cuts.rs"]
mod cuts;
#[cfg(target_os = "linux")]
#[path = "faults/descriptors.rs"]
mod descriptors;
#[path = "faults/kills.rs"]
mod kills;
#[cfg(target_os = "linux")]
#[path = "faults/queues.rs"]
mod queues;
#[cfg(target_os = "linux")]
#[path = "faults/reconnections.rs"]
mod reconnections;
#[path = "faults/stage.rs"]
mod stage;
#[path = "faults/stalls.rs"]
mod stalls;
#[cfg(target_os = "linux")]
#[path = "faults/stops.rs"]
mod stops;

use grid_tests::allocator::Counting;
use tokio::sync::RwLock;

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

/// Held for reading by each test, and for writing by those that count what the whole process holds.
static PROCESS: RwLock<()> = RwLock::const_new(());

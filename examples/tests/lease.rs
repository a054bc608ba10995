//! Your own services under faults: a lease, and a log that only the holder of the lease may write to.
//!
//! A holder that was stopped for a while does not know that its lease has run out, and writes as if nothing had happened.
//! So each lease has a number, and the log takes no lower one than it has seen. Let it take any, in `append`, and the test
//! names a seed that breaks it, and the faults that did.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use grid::sim::{Node, Sim};
use tokio::time::{Instant, sleep};

#[grid::service(id = 1)]
trait Lease {
    /// The number of the lease, if no other has it.
    async fn take(&self, who: &str) -> Option<u64>;
}

#[grid::service(id = 2)]
trait Log {
    /// Whether it was written.
    async fn append(&self, lease: u64, text: &str) -> bool;
}

/// What survives a crash.
#[derive(Default)]
struct Disk {
    last_lease: Mutex<u64>,
    log: Mutex<Vec<(u64, String)>>,
}

struct Keeper {
    disk: Arc<Disk>,
    held: Mutex<Option<(String, Instant)>>,
}

impl Lease for Keeper {
    async fn take(&self, who: &str) -> Option<u64> {
        let mut held = self.held.lock().expect("no panic");
        if held.as_ref().is_some_and(|(_, until)| *until > Instant::now()) {
            return None;
        }
        *held = Some((who.to_owned(), Instant::now() + LEASE));
        let mut last = self.disk.last_lease.lock().expect("no panic");
        *last += 1;
        Some(*last)
    }
}

struct Keep(Arc<Disk>);

impl Log for Keep {
    async fn append(&self, lease: u64, text: &str) -> bool {
        let mut log = self.0.log.lock().expect("no panic");
        if log.last().is_some_and(|seen| seen.0 > lease) {
            return false;
        }
        log.push((lease, text.to_owned()));
        true
    }
}

type Exit = Result<(), Box<dyn std::error::Error + Send + Sync>>;

async fn keep(node: Node, disk: Arc<Disk>) -> Exit {
    let keeper = Keeper { disk: Arc::clone(&disk), held: Mutex::default() };
    let node = node.builder().peers(ALL).serve(LeaseServer::new(keeper)).serve(LogServer::new(Keep(disk)));
    node.start().await?.closed().await;
    Ok(())
}

async fn work(node: Node) -> Exit {
    let manager = node.builder().peers(ALL).start().await?;
    let keeper = manager.connection(KEEPER)?;
    let (lease, log) = (LeaseClient::new(keeper.clone()), LogClient::new(keeper.clone()));
    loop {
        keeper.ready().await?;
        let began = Instant::now();
        let taken = lease.take(node.name()).timeout(LEASE).await;
        let Ok(Some(number)) = taken else {
            sleep(LEASE / 4).await;
            continue;
        };
        while began.elapsed() < LEASE {
            // It may stand still between these two lines.
            if log.append(number, node.name()).timeout(LEASE).await.is_err() {
                break;
            }
            sleep(LEASE / 10).await;
        }
    }
}

#[test]
fn nobody_writes_after_the_next_holder_has() {
    for seed in 0..12 {
        let (mut sim, disk) = (Sim::new(seed), Arc::new(Disk::default()));
        let kept = Arc::clone(&disk);
        sim.node(KEEPER, move |node| keep(node, Arc::clone(&kept)));
        for name in WORKERS {
            sim.node(name, work);
        }
        let faults = sim.chaos(Duration::from_secs(20));
        let written = || disk.log.lock().expect("no panic").clone();
        assert!(written().is_sorted_by_key(|(lease, _)| *lease), "seed {seed}: {:?} after {faults:#?}", written());
        // When all is mended, both get their turns again.
        let before = written().len();
        sim.run_until(Duration::from_secs(60), || {
            let since = written().split_off(before);
            WORKERS.into_iter().all(|worker| since.iter().any(|(_, who)| who == worker))
        });
    }
}

const KEEPER: &str = "http://keeper:1";
const WORKERS: [&str; 2] = ["http://worker-1:1", "http://worker-2:1"];
const ALL: [&str; 3] = [KEEPER, WORKERS[0], WORKERS[1]];
const LEASE: Duration = Duration::from_millis(500);

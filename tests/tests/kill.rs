//! Two processes under load, one of which is killed and started again.

use std::net::TcpListener;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use grid::{CallError, Connection};
use grid_tests::mesh::{Place, only};
use tokio::process::{Child, Command};

const CALLS: u64 = 100_000;
const IN_FLIGHT: u64 = 256;

#[derive(Default)]
struct Outcomes {
    answered: AtomicU64,
    disconnected: AtomicU64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_has_one_outcome_when_its_process_is_killed() {
    let own = Place::new();
    let name = free_name();
    let node = own
        .builder()
        .peers([name.clone()])
        .single(1_u8, async |_, payload: Bytes| Ok(payload))
        .start()
        .await
        .expect("the node starts");
    let mut child = spawn(&name, &own.name);
    let connection = only(&node);
    connection.ready().await.expect("not shut down");

    // Once through everything, so that what is allocated for good is there before memory is measured.
    run(&connection, 10_000, u64::MAX, &mut child).await;
    let before = resident_kib();

    let outcomes = run(&connection, CALLS, CALLS / 2, &mut child).await;
    let (answered, disconnected) = (outcomes.answered.into_inner(), outcomes.disconnected.into_inner());
    assert_eq!(answered + disconnected, CALLS);
    assert!(disconnected > 0, "the kill hit no call");
    assert!(answered > CALLS - 10 * IN_FLIGHT, "only {answered} calls were answered");

    assert_eq!(connection.stats().calls_out, 0);
    assert_eq!(connection.stats().calls_in, 0);
    // In flight at the other end is the one call that asks.
    assert_eq!(connection.single(2_u8, []).await, Ok(Bytes::from("1 0")));
    let after = resident_kib();
    println!("{answered} answered, {disconnected} disconnected, {before:?} KiB before, {after:?} KiB after");
    // Where the system does not tell, `huge.rs` and `leaks.rs` still count what is allocated.
    if let (Some(before), Some(after)) = (before, after) {
        assert!(after < before + 4096, "{before} KiB before, {after} KiB after");
    }
}

/// Makes calls, and kills the other process once `kill_at` of them have ended.
async fn run(connection: &Connection, calls: u64, kill_at: u64, child: &mut Child) -> Outcomes {
    let outcomes = Arc::new(Outcomes::default());
    let next = Arc::new(AtomicU64::new(0));
    let half = Arc::new(tokio::sync::Notify::new());
    let callers: Vec<_> = (0..IN_FLIGHT)
        .map(|_| {
            let (outcomes, next, half) = (Arc::clone(&outcomes), Arc::clone(&next), Arc::clone(&half));
            let connection = connection.clone();
            tokio::spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= calls {
                        return;
                    }
                    if number == kill_at {
                        half.notify_one();
                    }
                    call(&connection, number, &outcomes).await;
                }
            })
        })
        .collect();
    if kill_at < calls {
        half.notified().await;
        child.kill().await.expect("it can be killed");
        let peer = connection.remote().to_owned();
        *child = spawn(&peer, connection.local());
    }
    for caller in callers {
        caller.await.expect("callers do not panic");
    }
    Arc::into_inner(outcomes).expect("the callers have ended")
}

/// One call, which ends once. Every eighth one makes the other node call back.
async fn call(connection: &Connection, number: u64, outcomes: &Outcomes) {
    let handler = if number.is_multiple_of(8) { 3_u8 } else { 1 };
    let payload = Bytes::from(format!("{number:0512}"));
    match connection.single(handler, &payload).await {
        Ok(answer) => {
            assert_eq!(answer, payload);
            outcomes.answered.fetch_add(1, Ordering::Relaxed);
        }
        Err(CallError::Disconnected(_)) => {
            outcomes.disconnected.fetch_add(1, Ordering::Relaxed);
            connection.ready().await.expect("not shut down");
        }
        Err(other) => panic!("call {number}: {other}"),
    }
}

fn spawn(name: &str, peer: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_echo_node"))
        .args([name, peer])
        .stdin(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the node's process starts")
}

/// A port that is free now; the process that is killed must be able to have it again.
fn free_name() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    format!("http://{}", listener.local_addr().expect("it is bound"))
}

/// Memory of this process, as Linux tells it.
fn resident_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

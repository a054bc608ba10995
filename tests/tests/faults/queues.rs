//! Peers whose system takes connections, or not even that, and who never say a word.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use grid::{CallError, LinkError, Manager, State};
use grid_tests::memory::dials;
use grid_tests::mesh::{Place, only, sharp, soon};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{Instant, sleep, timeout};

use crate::PROCESS;
use crate::stage::{place_that, state, until};

/// That of the times of `sharp`.
const HANDSHAKE: Duration = Duration::from_secs(1);

fn listen(backlog: u32) -> (TcpListener, SocketAddr) {
    let socket = TcpSocket::new_v4().expect("a descriptor is free");
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("loopback has a free port");
    let listener = socket.listen(backlog).expect("it is bound");
    let address = listener.local_addr().expect("it is bound");
    (listener, address)
}

/// A node that dials there, with this limit of handshakes.
async fn dialling(address: SocketAddr, handshake: Duration) -> Manager {
    let name = format!("http://{address}");
    let place: Place = place_that(|place| dials(&place.name, &name));
    let node = sharp(place.builder()).timeouts(|timeouts| timeouts.handshake = handshake);
    node.peers([name]).start().await.expect("it starts")
}

async fn assert_calls_end_at_once(node: &Manager) -> Duration {
    let (connection, start) = (only(node), Instant::now());
    for _ in 0..CALLS {
        let lost = Err(CallError::Disconnected(connection.remote().into()));
        assert_eq!(connection.single(1_u8, "x").await, lost);
    }
    start.elapsed() / CALLS
}

/// The node has an attempt under way, which would take longer than the test does.
async fn shutdown_amid_an_attempt(address: SocketAddr) -> Duration {
    let before = attempts(address);
    let node = dialling(address, Duration::from_secs(600)).await;
    soon(until(|| attempts(address) > before)).await;
    let start = Instant::now();
    soon(node.shutdown()).await;
    start.elapsed()
}

/// Connections to this address of which the dialling side waits for something: for the system over there, or for more.
fn attempts(address: SocketAddr) -> usize {
    const ESTABLISHED: &str = "01";
    const SYN_SENT: &str = "02";

    let SocketAddr::V4(v4) = address else { panic!("it is bound to v4") };
    let remote = format!("{:08X}:{:04X}", u32::from_ne_bytes(v4.ip().octets()), v4.port());
    let table = fs::read_to_string("/proc/net/tcp").expect("Linux tells");
    let waits = |line: &&str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        fields.get(2) == Some(&&*remote) && fields.get(3).is_some_and(|state| [ESTABLISHED, SYN_SENT].contains(state))
    };
    table.lines().filter(waits).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_accept_queue_costs_callers_nothing_and_one_attempt_at_a_time() {
    let _shared = PROCESS.read().await;
    let (_listener, address) = listen(1);
    let mut queued = Vec::new();
    while let Ok(stream) = timeout(Duration::from_millis(500), TcpStream::connect(address)).await {
        queued.push(stream.expect("it waits in the queue"));
    }
    let start = Instant::now();
    let node = dialling(address, HANDSHAKE).await;
    let timed_out = |state: &State| *state == State::Disconnected(Some(LinkError::HandshakeTimeout));
    state(&only(&node), timed_out).await;
    let took = start.elapsed();
    assert!(took >= HANDSHAKE, "{took:?}");
    let start = Instant::now();
    let mut most = 0;
    while start.elapsed() < 2 * HANDSHAKE {
        most = most.max(attempts(address) - queued.len());
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(most, 1, "attempts at the same time");
    let call = assert_calls_end_at_once(&node).await;
    soon(node.shutdown()).await;
    let shutdown = shutdown_amid_an_attempt(address).await;
    println!(
        "full accept queue of {}: given up after {took:?}, a call after {call:?}, shutdown in {shutdown:?}",
        queued.len()
    );
    assert!(call < HANDSHAKE / 10 && shutdown < 10 * HANDSHAKE, "a call after {call:?}, shutdown in {shutdown:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_that_says_nothing_costs_callers_nothing_and_one_attempt_at_a_time() {
    let _shared = PROCESS.read().await;
    let (listener, address) = listen(16);
    let (start, mut streams) = (Instant::now(), Vec::new());
    let node = dialling(address, HANDSHAKE).await;
    while streams.len() < 3 {
        let (stream, _) = soon(listener.accept()).await.expect("somebody dials");
        streams.push(stream);
        assert!(attempts(address) <= 1, "the one before is over");
    }
    let third = start.elapsed();
    let call = assert_calls_end_at_once(&node).await;
    let start = Instant::now();
    soon(node.shutdown()).await;
    let shutdown = start.elapsed();
    println!(
        "silent listener: dialled for the third time after {third:?}, a call after {call:?}, shutdown in {shutdown:?}"
    );
    assert!(third >= 2 * HANDSHAKE, "{third:?}");
    assert!(call < HANDSHAKE / 10 && shutdown < 10 * HANDSHAKE, "a call after {call:?}, shutdown in {shutdown:?}");
}

const CALLS: u32 = 100;

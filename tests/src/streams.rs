//! What the tests of streams have in common: numbered items, readers that tell all they got, and a scripted peer in
//! memory.

use std::ops::Range;
use std::time::{Duration, Instant};

use bytes::Bytes;
use grid::{CallError, Inbound, Manager, ManagerBuilder};
use tokio::task::JoinHandle;

use crate::mesh::only;
use crate::raw::{Frame, Head, Hello, ROUTE, RawPeer, Role, dials, flag};

/// An item that says which one it is.
pub fn item(number: usize) -> Bytes {
    Bytes::copy_from_slice(&u32::try_from(number).expect("not that many").to_be_bytes())
}

/// Items in order.
pub fn items(numbers: Range<usize>) -> Vec<Bytes> {
    numbers.map(item).collect()
}

/// An item of so many bytes that says which one it is.
///
/// # Panics
/// It has less than four.
pub fn large_item(number: usize, bytes: usize) -> Bytes {
    let mut large = item(number).to_vec();
    assert!(bytes >= large.len());
    large.resize(bytes, 7);
    large.into()
}

/// All that a reader got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read<E> {
    pub items: Vec<Bytes>,
    /// What came after them; none if they ended well.
    pub error: Option<CallError<E>>,
}

impl<E> Read<E> {
    /// So many items in order, and this end.
    pub fn of(count: usize, error: impl Into<Option<CallError<E>>>) -> Self {
        Self { items: items(0..count), error: error.into() }
    }
}

/// Reads up to the end.
///
/// # Panics
/// Something comes after the end.
pub async fn read_all<E>(inbound: &mut Inbound<Bytes, E>) -> Read<E> {
    let mut read = Read { items: Vec::new(), error: None };
    loop {
        match inbound.next().await {
            Some(Ok(item)) => read.items.push(item),
            Some(Err(error)) => {
                read.error = Some(error);
                break;
            }
            None => break,
        }
    }
    for _ in 0..3 {
        assert!(inbound.next().await.is_none(), "nothing comes after the end");
    }
    read
}

/// Waits until nothing is left of any call on the current links of these nodes. Other tasks run meanwhile, and virtual
/// time stands still.
///
/// # Panics
/// Something stays.
pub async fn assert_idle<const N: usize>(nodes: [&Manager; N]) {
    let start = Instant::now();
    for node in nodes {
        for connection in node.connections() {
            loop {
                let stats = connection.stats();
                if (stats.calls_in, stats.calls_out, stats.unread_bytes, stats.queued_bytes) == (0, 0, 0, 0) {
                    break;
                }
                assert!(start.elapsed() < PATIENCE, "{} still has {stats:?}", node.name());
                tokio::task::yield_now().await;
            }
        }
    }
}

/// The name of the node under test beside a scripted peer.
pub const NODE: &str = "http://node:1";

/// A node that was dialled by a scripted peer with these capabilities, over a pipe in memory. The node sends no pings
/// of the link, so that the peer need not answer them.
pub async fn scripted(caps: Option<u64>, change: impl FnOnce(ManagerBuilder) -> ManagerBuilder) -> (Manager, RawPeer) {
    let (node, peer, _) = scripted_with_driver(caps, change).await;
    (node, peer)
}

/// The same, with the task that drives the link.
pub async fn scripted_with_driver(
    caps: Option<u64>,
    change: impl FnOnce(ManagerBuilder) -> ManagerBuilder,
) -> (Manager, RawPeer, JoinHandle<()>) {
    let mut names = (0..).map(|number| format!("http://peer-{number}:1"));
    let name = names.find(|name| dials(name, NODE)).expect("names do not end");
    let builder = Manager::builder(NODE).peers([&*name]).route(ROUTE).timeouts(|timeouts| {
        timeouts.ping_interval = Duration::from_secs(24 * 3600);
        timeouts.dead_after = Duration::from_secs(48 * 3600);
    });
    let node = change(builder).build().expect("it can be built");
    let (near, far) = tokio::io::duplex(PIPE_BYTES);
    let accepting = node.clone();
    let driver = tokio::spawn(async move { accepting.accept(far).await });
    let mut peer = RawPeer::new(Box::new(near), Role::Dialler);
    peer.send_bytes(&Head::upgrade(ROUTE, "node:1", "debug").encode()).await;
    assert_eq!(peer.recv_head().await.status(), 101);
    peer.send(&Hello { caps: caps.map(Into::into), ..Hello::new(&name) }.connect()).await;
    assert_eq!(peer.recv().await.text("RejectedReason"), "");
    only(&node).ready().await.expect("the node is not shut down");
    (node, peer, driver)
}

/// A frame of a stream with its number.
pub fn frame(op: u8, mux: u64, seq: u32) -> Frame {
    Frame { seq, ..Frame::new(op, mux) }
}

/// A frame that gives credits: a trailer that says how many.
pub fn granting(frame: Frame, credits: usize) -> Frame {
    frame.trailer(&rmpv::Value::Map(vec![(KEY_CREDITS.into(), credits.into())]))
}

/// The credits that a frame gives.
pub fn credits(frame: &Frame) -> Option<u64> {
    assert!(frame.flags & flag::CRC != 0, "names without TLS want checksums");
    let trailer = frame.trailer_map()?;
    let (_, credits) = trailer.as_map()?.iter().find(|(key, _)| key.as_u64() == Some(KEY_CREDITS))?;
    credits.as_u64()
}

/// Trailers, and credits in them.
pub const CAPS_CREDITS: u64 = 1 << 1 | 1 << 4;

const KEY_CREDITS: u64 = 4;
/// Far more than scripted peers leave unread.
const PIPE_BYTES: usize = 1 << 20;
/// Far longer than anything takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(30);

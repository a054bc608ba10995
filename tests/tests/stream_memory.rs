//! Streams keep what they need of a message, and not the message. What is allocated is counted for the whole process,
//! so the tests take turns. Under virtual time.

use std::future::{Future, pending};
use std::sync::{Mutex, PoisonError};

use grid::{Connection, ManagerBuilder, Windows};
use grid_tests::allocator::Counting;
use grid_tests::memory::{Network, settle, within};
use grid_tests::mesh::only;
use grid_tests::probe::{self, echo};
use grid_tests::raw::{Frame, RawPeer, flag, op};
use grid_tests::streams::{CAPS_CREDITS, frame, granting, scripted};
use rmpv::Value;
use tokio::runtime::Builder;

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

/// Keeps its opening and its halves, and does nothing.
const KEEP: u8 = 20;
/// Of messages that are not to be kept: each alone is more than any stream needs.
const LARGE: usize = 12 << 10;

fn keep(builder: ManagerBuilder) -> ManagerBuilder {
    echo(builder).stream(KEEP, 64, |_, opening, inbound, outbound| async move {
        let _kept = (opening, inbound, outbound);
        pending().await
    })
}

/// Runs a test while no other one runs, up to the end of all its tasks.
fn alone(test: impl Future<Output = ()>) {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().expect("it can be built");
    runtime.block_on(test);
}

fn grown_since(before: usize) -> usize {
    ALLOCATOR.live().bytes.saturating_sub(before)
}

/// Bytes that each of many streams takes at both of its ends.
async fn bytes_per_stream(connection: &Connection, opening: &'static str) -> usize {
    const STREAMS: usize = 500;
    let mut streams = Vec::with_capacity(STREAMS);
    let before = ALLOCATOR.live().bytes;
    for _ in 0..STREAMS {
        streams.push(within(connection.stream(KEEP, 64, opening).into_future()).await.expect("it opens"));
        // It may share what is read at once with an opening.
        within(connection.single(probe::ECHO, vec![7; LARGE]).into_future()).await.expect("it is answered");
    }
    settle().await;
    let grown = grown_since(before);
    drop(streams);
    settle().await;
    grown / STREAMS
}

#[test]
fn an_opening_does_not_keep_what_came_with_it() {
    alone(async {
        let (left, _right) = Network::default().pair(keep, keep).await;
        // From now on tables are as large as they become.
        bytes_per_stream(&only(&left), "").await;
        let without = bytes_per_stream(&only(&left), "").await;
        let with = bytes_per_stream(&only(&left), "ten bytes.").await;
        assert!((1..LARGE).contains(&without), "{without} bytes per stream");
        assert!(with < without + 1000, "{without} bytes per stream, and {with} with an opening of ten");
    });
}

/// An opening with this payload, and with a key in its trailer that nobody knows.
fn padded_opening(mux: u64, payload: &str, padding: usize) -> Frame {
    const CREDITS: u64 = 4;
    const UNKNOWN: u64 = 9;
    let trailer = Value::Map(vec![(CREDITS.into(), 1.into()), (UNKNOWN.into(), vec![0; padding].into())]);
    Frame { handler: KEEP.into(), ..Frame::new(op::CONNECT_MUX, mux) }.payload(payload).trailer(&trailer)
}

/// Only the payload is counted by the limit of bytes of calls, so nothing else of the message may stay.
#[test]
fn an_opening_does_not_keep_the_rest_of_its_message() {
    const STREAMS: usize = 400;
    alone(async {
        let (node, mut peer) = scripted(Some(CAPS_CREDITS), keep).await;
        let before = ALLOCATOR.live().bytes;
        for mux in 1..=STREAMS as u64 {
            peer.send(&padded_opening(mux, "x", 60_000)).await;
            assert_eq!(peer.recv().await.op, op::ACK_MUX);
        }
        settle().await;
        let grown = grown_since(before);
        assert_eq!(only(&node).stats().calls_in, STREAMS);
        assert!(grown < STREAMS * 10_000, "{} bytes per stream for a payload of one", grown / STREAMS);
    });
}

/// Lets in the next stream that the node opens, and returns its id.
async fn let_in(peer: &mut RawPeer) -> u64 {
    let opening = peer.recv().await;
    assert_eq!(opening.op, op::CONNECT_MUX);
    peer.send(&granting(frame(op::ACK_MUX, opening.mux, 0), 0)).await;
    opening.mux
}

/// It waits to be read for as long as its reader likes, and is counted by no limit.
#[test]
fn an_error_does_not_keep_the_message_that_it_came_in() {
    const STREAMS: usize = 16;
    const MESSAGE: usize = 1 << 20;
    const NOBODY: u64 = u64::MAX;
    alone(async {
        let (node, mut peer) = scripted(Some(CAPS_CREDITS), |node| node).await;
        let mut streams = Vec::with_capacity(STREAMS);
        let before = ALLOCATOR.live().bytes;
        for _ in 0..STREAMS {
            let call = only(&node).stream(KEEP, Windows::responses(1), "");
            let (opened, mux) = within(async { tokio::join!(call.into_future(), let_in(&mut peer)) }).await;
            streams.push(opened.expect("it opens"));
            let error = frame(op::MUX_SERVER_MSG, mux, 1).flags(flag::EOF | flag::ERROR).payload("no");
            peer.send_merged(&[error, Frame::response(NOBODY, vec![0; MESSAGE])]).await;
            settle().await;
        }
        let grown = grown_since(before);
        assert!(grown < 2 * MESSAGE, "{grown} bytes for {STREAMS} errors of two");
        for (_outbound, mut inbound) in streams {
            let end = within(inbound.next()).await.expect("not the end").expect_err("it failed");
            assert!(end.to_string().contains("no"), "{end}");
        }
    });
}

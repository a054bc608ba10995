//! Items that nobody has read yet, and little memory for them.

use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use futures_util::future::join_all;
use grid::{CallError, Manager, ManagerBuilder, RefusalReason, RemoteError, Windows};
use grid_tests::memory::{Network, settle, within};
use grid_tests::mesh::only;
use grid_tests::raw::{flag, op};
use grid_tests::streams::{CAPS_CREDITS, assert_idle, frame, item, large_item, read_all, scripted};
use tokio::time::sleep;

use crate::halves::{ECHO, let_in, opened};

/// Sends items of 4 KiB as fast as they go.
const FLOOD: u8 = 21;
/// Sends an item each 10 ms.
const TICK: u8 = 22;

fn small(builder: ManagerBuilder, unread_bytes_max: usize) -> ManagerBuilder {
    builder.limits(|limits| limits.unread_bytes_max = unread_bytes_max)
}

fn unread(node: &Manager) -> usize {
    only(node).stats().unread_bytes
}

fn is_overloaded(error: Option<&CallError<RemoteError>>) -> bool {
    matches!(error, Some(CallError::Refused(refusal)) if refusal.reason() == RefusalReason::Overloaded)
}

fn flood_and_tick(builder: ManagerBuilder) -> ManagerBuilder {
    builder
        .stream(FLOOD, 64, |_, _, _, outbound| async move {
            for number in 0.. {
                outbound.send(large_item(number, 4 << 10)).await?;
            }
            Ok(())
        })
        .stream(TICK, 4, |_, _, _, outbound| async move {
            for number in 0.. {
                outbound.send(item(number)).await?;
                sleep(Duration::from_millis(10)).await;
            }
            Ok(())
        })
}

/// A window of 256 KiB that fills all that may be unread: only who holds it pays for that.
#[tokio::test(start_paused = true)]
async fn a_stream_that_nobody_reads_ends_no_other() {
    let (left, _right) = Network::default().pair(|left| small(left, 128 << 10), flood_and_tick).await;
    let (_before, mut ticks) = opened(only(&left).stream(TICK, 4, "")).await;
    for number in 0..10 {
        assert_eq!(within(ticks.next()).await, Some(Ok(item(number))));
    }
    let (_flood, mut flood) = opened(only(&left).stream(FLOOD, 64, "")).await;
    for number in 10..60 {
        assert_eq!(within(ticks.next()).await, Some(Ok(item(number))), "{} unread", unread(&left));
    }
    let (_after, mut ticks) = opened(only(&left).stream(TICK, 4, "")).await;
    for number in 0..50 {
        assert_eq!(within(ticks.next()).await, Some(Ok(item(number))), "{} unread", unread(&left));
    }
    let error = within(read_all(&mut flood)).await.error;
    assert!(is_overloaded(error.as_ref()), "ended with {error:?}");
}

/// Each item is within the window of its stream, and the share of that when it comes. The last item of a stream counts like
/// any other.
#[tokio::test(start_paused = true)]
async fn what_is_unread_stays_within_twice_its_limit() {
    const MAX: usize = 64 << 10;
    let (node, mut peer) = scripted(Some(CAPS_CREDITS), |node| small(node, MAX)).await;
    let (mut streams, mut held) = (Vec::new(), 0);
    for number in 1..=16 {
        let share = MAX / number;
        let call = only(&node).stream(ECHO, Windows::responses(1), "");
        let (halves, mux) = let_in(&mut peer, call, 0).await;
        let flags = if number % 2 == 0 { 0 } else { flag::EOF };
        // An item counts for 64 bytes more than it has.
        let item = vec![7; share - 64];
        peer.send(&frame(op::MUX_SERVER_MSG, mux, 1).flags(flags).payload(&*item)).await;
        settle().await;
        let fits = held + share <= 2 * MAX;
        held += if fits { share } else { 0 };
        assert_eq!(unread(&node), held, "bytes of {number} streams");
        streams.push((halves, fits.then_some(item)));
    }
    assert!(held > 2 * MAX - 64, "it is reached: {held}");
    assert_eq!(streams.iter().filter(|(_, item)| item.is_some()).count(), 4);
    for ((_outbound, mut inbound), item) in streams {
        let Some(item) = item else {
            let read = within(read_all(&mut inbound)).await;
            assert!(read.items.is_empty() && is_overloaded(read.error.as_ref()), "ended with {:?}", read.error);
            continue;
        };
        assert_eq!(within(inbound.next()).await, Some(Ok(Bytes::from(item))));
    }
    assert_eq!(unread(&node), 0);
}

/// An item that has no bytes takes its place in memory.
#[tokio::test(start_paused = true)]
async fn empty_items_count_for_what_they_take() {
    const ITEMS: u32 = 100;
    let (node, mut peer) = scripted(Some(CAPS_CREDITS), |node| small(node, 6_400)).await;
    let call = only(&node).stream(ECHO, Windows::responses(1_000), "");
    let ((_outbound, mut inbound), mux) = let_in(&mut peer, call, 0).await;
    let empty = |seq| frame(op::MUX_SERVER_MSG, mux, seq).flags(flag::ZERO);
    for seq in 1..=ITEMS {
        peer.send(&empty(seq)).await;
    }
    settle().await;
    assert_eq!(unread(&node), 6_400);
    peer.send(&empty(ITEMS + 1)).await;
    settle().await;
    let read = within(read_all(&mut inbound)).await;
    assert!(is_overloaded(read.error.as_ref()), "ended with {:?}", read.error);
    assert_eq!((read.items.len(), unread(&node)), (100, 0));
}

const STREAMS: u64 = 8;
const ITEMS: usize = 500;
const WINDOW: u32 = 8;
/// More than half of it, from which on credits are withheld, is less than what all windows hold.
const SCARCE_MAX: usize = 16 << 10;
/// With the 64 that are counted for each item, a window of them is an eighth of what may be unread.
const ITEM_BYTES: usize = 192;

/// Pauses now and then, as a slow reader does.
async fn dawdle(rng: &mut Rng) {
    if rng.u8(..) < 16 {
        sleep(Duration::from_millis(rng.u64(1..50))).await;
    }
}

/// An echo that dawdles, by the seed in its opening.
fn echo_slowly(builder: ManagerBuilder) -> ManagerBuilder {
    small(builder, SCARCE_MAX).stream(ECHO, WINDOW, |_, seed: Bytes, mut inbound, outbound| async move {
        let mut rng = Rng::with_seed(u64::from_be_bytes(seed[..].try_into().expect("eight bytes")));
        while let Some(item) = inbound.next().await {
            dawdle(&mut rng).await;
            outbound.send(item?).await?;
        }
        Ok(())
    })
}

/// Sends items to [`ECHO`] and reads them back. Returns how often memory was plenty and how often it was scarce, at the
/// left and at the right node.
async fn echo_all([left, right]: [&Manager; 2], seed: u64) -> [[usize; 2]; 2] {
    let (outbound, mut inbound) = opened(only(left).stream(ECHO, WINDOW, seed.to_be_bytes())).await;
    let sending = async {
        for number in 0..ITEMS {
            outbound.send(large_item(number, ITEM_BYTES)).await.expect("it goes on");
        }
        outbound.finish().await.expect("it has not ended");
    };
    let reading = async {
        let mut rng = Rng::with_seed(!seed);
        let mut seen = [[0; 2]; 2];
        for number in 0..ITEMS {
            assert_eq!(inbound.next().await, Some(Ok(large_item(number, ITEM_BYTES))));
            dawdle(&mut rng).await;
            for (seen, node) in seen.iter_mut().zip([left, right]) {
                seen[usize::from(unread(node) > SCARCE_MAX / 2)] += 1;
            }
        }
        assert_eq!(inbound.next().await, None);
        seen
    };
    tokio::join!(sending, reading).1
}

/// Credits that were withheld come back when there is memory again, also if nothing else happens on the stream.
#[tokio::test(start_paused = true)]
async fn memory_that_is_scarce_and_plenty_by_turns_stalls_no_stream() {
    for round in 0..8 {
        let (left, right) = Network::default().pair(echo_slowly, echo_slowly).await;
        let echoes = (0..STREAMS).map(|stream| echo_all([&left, &right], round * STREAMS + stream));
        let seen = within(join_all(echoes)).await;
        for node in 0..2 {
            let times = |scarce: usize| seen.iter().map(|seen| seen[node][scarce]).sum::<usize>();
            assert!(times(0) > 100 && times(1) > 100, "round {round}: {} plenty, {} scarce", times(0), times(1));
        }
        assert_idle([&left, &right]).await;
    }
}

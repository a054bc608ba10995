//! One huge message does not keep its memory. What is allocated is counted for the whole process, so this is its only
//! test. Under virtual time.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use grid::ManagerBuilder;
use grid_tests::allocator::Counting;
use grid_tests::memory::Network;
use grid_tests::mesh::only;
use grid_tests::probe::{ECHO, echo};
use tokio::time::sleep;

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

const HUGE: usize = 16 << 20;
/// By default.
const PING_INTERVAL: Duration = Duration::from_secs(10);
/// What may stay: buffers of two ends of a link, each well below this.
const KEPT_MAX: usize = 512 << 10;

#[tokio::test(start_paused = true)]
async fn a_huge_message_and_a_burst_of_small_ones_keep_no_memory() {
    let network = Network::default();
    let roomy = |builder: ManagerBuilder| echo(builder).limits(|limits| limits.outbox_bytes_max = 64 << 20);
    let (left, right) = network.pair(roomy, roomy).await;
    assert_eq!(only(&left).single(ECHO, "x").await, Ok(Bytes::from("x")));
    let before = ALLOCATOR.live().bytes;
    let kept = || ALLOCATOR.live().bytes.saturating_sub(before);

    let burst = (0..20_000).map(|_| only(&left).single(ECHO, vec![7; 100]).into_future());
    let answers = join_all(burst).await;
    let answered = answers.iter().filter(|answer| answer.is_ok()).count();
    assert!(answered >= 16_384, "{answered} calls fit in at once");
    drop(answers);
    // With each ping a link gives back what memory is not in use.
    sleep(2 * PING_INTERVAL).await;
    assert_eq!(only(&left).single(ECHO, "x").await, Ok(Bytes::from("x")));
    assert!(kept() < KEPT_MAX, "{} bytes stay after a burst", kept());

    for node in [&left, &right] {
        ALLOCATOR.take_peak();
        let answer = only(node).single(ECHO, vec![7; HUGE]).await.map(|answer| answer.len());
        assert_eq!(answer, Ok(HUGE));
        let peak = ALLOCATOR.take_peak() - before;
        assert!((2 * HUGE..8 * HUGE).contains(&peak), "it needed {peak} bytes");
        sleep(Duration::from_secs(1)).await;
        assert!(kept() < KEPT_MAX, "{} bytes stay at once", kept());
        for _ in 0..100 {
            assert_eq!(only(node).single(ECHO, "x").await, Ok(Bytes::from("x")));
        }
        assert!(kept() < KEPT_MAX, "{} bytes stay when small calls have followed", kept());
    }
}

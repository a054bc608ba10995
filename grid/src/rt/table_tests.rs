use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::wire::{Flags, Header, Op, PayloadBuf, Trailer};

fn table() -> Table {
    Table::new(4, 1000, u32::MAX - 2)
}

fn insert(table: &Table) -> Result<u64, NoSlot> {
    table.insert(None, Waker::noop().clone())
}

fn answer(mux: u64, payload: &[u8]) -> Message {
    let header = Header::new(Op::Response, mux, Flags::EOF);
    Bytes::copy_from_slice(PayloadBuf::copy_from(payload).seal(header, &Trailer::default(), None).as_bytes()).into()
}

fn deliver(table: &Table, message: &Message) -> Met {
    let frame = Frame::decode(message.bytes(), Capabilities::V1).unwrap();
    table.on_frame(&frame, message, Capabilities::V1, &mut Wakes::default())
}

fn poll(table: &Table, mux: u64) -> Poll<Ended> {
    table.poll(mux, &Context::from_waker(Waker::noop()))
}

#[test]
fn an_answer_finds_its_call_and_a_second_one_finds_nobody() {
    let table = table();
    let mux = insert(&table).unwrap();
    assert!(poll(&table, mux).is_pending());
    assert!(matches!(deliver(&table, &answer(mux, b"one")), Met::Call));
    assert!(matches!(deliver(&table, &answer(mux, b"two")), Met::Nobody));
    assert!(matches!(poll(&table, mux), Poll::Ready(Ended::Answer(payload)) if payload == "one"));
    assert_eq!(table.in_flight(), 0);
}

#[test]
fn a_late_answer_does_not_meet_the_next_call_in_the_same_slot() {
    let table = table();
    let first = insert(&table).unwrap();
    assert_eq!(table.cancel(first), Cancelled::Waiting);
    let second = insert(&table).unwrap();
    assert_ne!(first, second);
    assert!(matches!(deliver(&table, &answer(first, b"late")), Met::Nobody));
    assert!(poll(&table, second).is_pending());
    table.cancel(second);
}

#[test]
fn mux_ids_are_never_zero_nor_repeated_when_generations_wrap() {
    let table = table();
    let mut seen = std::collections::HashSet::new();
    for _ in 0..8 {
        let mux = insert(&table).unwrap();
        assert_ne!(mux, 0);
        assert!(seen.insert(mux));
        table.cancel(mux);
    }
}

#[test]
fn ids_of_other_tables_and_of_v1_peers_meet_nobody() {
    let table = table();
    let mux = insert(&table).unwrap();
    for stranger in [0, 1, mux ^ 1, mux + 1, mux + (1 << 24), u64::MAX] {
        assert!(matches!(deliver(&table, &answer(stranger, b"x")), Met::Nobody));
    }
    table.cancel(mux);
}

#[tokio::test(start_paused = true)]
async fn deadlines_end_their_calls_and_no_others() {
    let table = table();
    let now = Instant::now();
    let at = |millis| Some(now + Duration::from_millis(millis));
    let begin = |deadline| table.insert(deadline, Waker::noop().clone()).unwrap();
    assert!(!table.is_earlier());
    let (late, soon, never) = (begin(at(50)), begin(at(20)), begin(None));
    assert!(table.is_earlier());
    assert_eq!(table.next_deadline(), at(20));
    table.expire(now);
    assert!(poll(&table, soon).is_pending());
    table.expire(now + Duration::from_millis(20));
    assert!(matches!(poll(&table, soon), Poll::Ready(Ended::Deadline)));
    assert!(!table.is_earlier());
    assert_eq!(table.next_deadline(), at(50));
    table.expire(now + Duration::from_millis(60));
    assert!(matches!(poll(&table, late), Poll::Ready(Ended::Deadline)));
    assert_eq!(table.next_deadline(), None);
    assert!(poll(&table, never).is_pending());
    table.cancel(never);
}

#[test]
fn closing_ends_every_call_once_and_lets_none_begin() {
    let table = table();
    let waiting = insert(&table).unwrap();
    let answered = insert(&table).unwrap();
    deliver(&table, &answer(answered, b"x"));
    table.close(&LinkError::Dead);
    assert!(matches!(poll(&table, waiting), Poll::Ready(Ended::Link(LinkError::Dead))));
    assert!(matches!(poll(&table, answered), Poll::Ready(Ended::Answer(_))));
    assert!(matches!(insert(&table), Err(NoSlot::Closed(LinkError::Dead))));
    assert_eq!(table.in_flight(), 0);
}

#[test]
fn each_shard_gets_what_the_others_do_not_need() {
    let table = Arc::new(Table::new(4, 100, 0));
    let begin = |calls: usize| {
        let table = Arc::clone(&table);
        let begun = move || (0..calls).filter_map(|_| insert(&table).ok()).collect::<Vec<_>>();
        std::thread::spawn(begun).join().unwrap()
    };
    let calls: Vec<u64> = [30, 30, 30, 30].into_iter().flat_map(begin).collect();
    assert_eq!((calls.len(), table.in_flight()), (100, 100));
    calls.into_iter().for_each(|mux| {
        table.cancel(mux);
    });
    assert_eq!((begin(200).len(), table.in_flight()), (100, 100));
}

/// What a shard has claimed, others have to look for: near the limit that would be all there is.
#[test]
fn a_shard_claims_many_calls_at_once_where_there_are_many_and_one_where_there_are_few() {
    for (in_flight_max, claimed) in [(1000, CLAIM), (80, 10), (8, 1), (4, 1), (1, 1)] {
        let table = Table::new(4, in_flight_max, 0);
        insert(&table).unwrap();
        assert_eq!(table.unclaimed.load(Ordering::Relaxed), in_flight_max - claimed, "of {in_flight_max}");
    }
}

#[test]
fn the_excess_is_refused_and_a_burst_keeps_no_memory() {
    let table = Table::new(1, 500, 0);
    let calls: Vec<u64> = (0..500).map(|_| insert(&table).unwrap()).collect();
    assert!(matches!(insert(&table), Err(NoSlot::Full(500))));
    for mux in calls {
        table.cancel(mux);
    }
    assert_eq!(table.lock(0).slots.capacity(), 0);
    assert!(insert(&table).is_ok());
}

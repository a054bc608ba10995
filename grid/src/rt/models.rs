//! The concurrent pieces under loom, which tries every order of their steps up to a bound:
//!
//! ```text
//! RUSTFLAGS="--cfg grid_loom" cargo test -p grid-rpc --lib --release models
//! ```
//!
//! A wake-up that is lost shows as a deadlock.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};

use bytes::Bytes;
use loom::future::block_on;
use loom::model::Builder;
use loom::thread;
use tokio::time::Instant;

use super::ended::Ended;
use super::hand::Hand;
use super::lane::Lane;
use super::link::Link;
use super::message::Message;
use super::opening::Opening;
use super::outbox::{Closed, Outbox, Taken};
use super::registry::Kind;
use super::running::Admission;
use super::sleeper::{Sleep, Until};
use super::stream::{Next, Stream};
use super::stream_out::StreamEnded;
use super::sync::number_thread;
use super::table::{Cancelled, Met, Table};
use super::wakes::Wakes;
use crate::error::LinkError;
use crate::limits::{Limits, Timeouts};
use crate::proto::{Batch, End, Over};
use crate::windows::Windows;
use crate::wire::{Capabilities, EncodedFrame, Flags, Frame, Header, Op, Packed, PayloadBuf, Trailer, elements};

/// Each thread is taken off at most this often where it need not be.
const PREEMPTIONS: usize = 5;
/// The same where there are many steps.
const PREEMPTIONS_FEW: usize = 3;

fn model(body: impl Fn() + Sync + Send + 'static) {
    model_with(PREEMPTIONS, body);
}

fn model_with(preemptions: usize, body: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(body);
}

fn frame(op: Op, mux: u64, seq: u32, flags: Flags, payload: &[u8]) -> Message {
    let header = Header { seq, ..Header::new(op, mux, flags) };
    Bytes::copy_from_slice(PayloadBuf::copy_from(payload).seal(header, &Trailer::default(), None).as_bytes()).into()
}

/// So many credits for the items of a caller, in one frame.
fn credits(mux: u64, seq: u32, credits: u32) -> Message {
    let header = Header { seq, ..Header::new(Op::UnblockClMux, mux, Flags::NONE) };
    let trailer = Trailer { credits: Some(credits), ..Trailer::default() };
    Bytes::copy_from_slice(PayloadBuf::new().seal(header, &trailer, None).as_bytes()).into()
}

fn deliver(table: &Table, message: &Message) -> Met {
    let frame = Frame::decode(message.bytes(), Capabilities::OWN).expect("a frame of ours");
    table.on_frame(&frame, message, Capabilities::OWN, &mut Wakes::default())
}

/// Begins a call as its future does, whose first poll gives its waker away.
fn begin(table: &Table, deadline: Option<Instant>) -> (u64, Waker) {
    let waker = block_on(poll_fn(|cx| Poll::Ready(cx.waker().clone())));
    (table.insert(deadline, waker.clone()).expect("there is room"), waker)
}

fn wait(table: &Table, mux: u64, _first_poll: Waker) -> Ended {
    block_on(poll_fn(|cx| table.poll(mux, cx)))
}

#[test]
fn a_call_ends_once_whether_its_answer_its_deadline_or_the_end_of_its_link_comes_first() {
    model(|| {
        let table = Arc::new(Table::new(1, 8, 0));
        let now = Instant::now();
        let (mux, first_poll) = begin(&table, Some(now));
        let answering = Arc::clone(&table);
        let answering = thread::spawn(move || deliver(&answering, &frame(Op::Response, mux, 0, Flags::EOF, b"x")));
        let closing = Arc::clone(&table);
        let closing = thread::spawn(move || {
            closing.expire(now);
            closing.close(&LinkError::Dead);
        });
        match (wait(&table, mux, first_poll), answering.join().expect("no panic")) {
            (Ended::Answer(_), Met::Call) | (Ended::Deadline, Met::Nobody) => {}
            other => panic!("{other:?}"),
        }
        closing.join().expect("no panic");
        assert_eq!(table.in_flight(), 0);
    });
}

#[test]
fn a_deadline_that_is_earlier_is_seen() {
    model(|| {
        let table = Arc::new(Table::new(1, 8, 0));
        let now = Instant::now();
        let beginning = Arc::clone(&table);
        let beginning = thread::spawn(move || begin(&beginning, Some(now)).0);
        let seen = table.next_deadline();
        let mux = beginning.join().expect("no panic");
        assert!(seen.is_some() || table.is_earlier());
        table.cancel(mux);
    });
}

#[test]
fn two_calls_below_the_limit_begin_though_another_shard_has_claimed_their_places() {
    model(|| {
        let table = Arc::new(Table::new(2, 2, 0));
        let done = [(); 2].map(|()| begin(&table, None).0);
        done.into_iter().for_each(|mux| assert_eq!(table.cancel(mux), Cancelled::Waiting));
        let beginning = Arc::clone(&table);
        let begin = |table: &Table| {
            number_thread(1);
            begin(table, None).0
        };
        let beginning = thread::spawn(move || begin(&beginning));
        let calls = [begin(&table), beginning.join().expect("no panic")];
        calls.into_iter().for_each(|mux| assert_eq!(table.cancel(mux), Cancelled::Waiting));
    });
}

#[test]
fn a_late_answer_never_meets_the_next_call_in_the_slot() {
    model(|| {
        let table = Arc::new(Table::new(1, 8, 0));
        let (first, _) = begin(&table, None);
        let answering = Arc::clone(&table);
        let answering = thread::spawn(move || deliver(&answering, &frame(Op::Response, first, 0, Flags::EOF, b"x")));
        let waited = table.cancel(first) == Cancelled::Waiting;
        let (second, _) = begin(&table, None);
        let met = matches!(answering.join().expect("no panic"), Met::Call);
        assert_ne!(waited, met, "cancelled or answered, not both");
        assert_eq!(table.cancel(second), Cancelled::Waiting, "nothing came for the second");
        assert_eq!(table.in_flight(), 0);
    });
}

/// Takes all there is, and gives how many frames that are.
fn take(outbox: &Outbox, hand: &mut Hand) -> usize {
    let mut frames = 0;
    while outbox.take(usize::MAX, hand) == Taken::Some {
        while let Some(message) = hand.prompt.next_message(usize::MAX) {
            frames += match message {
                Packed::One(_) => 1,
                Packed::Many { count, .. } => usize::try_from(count).expect("it is small"),
            };
        }
        frames += usize::from(hand.large.take().is_some());
    }
    frames
}

fn small(len: usize) -> EncodedFrame {
    let payload = PayloadBuf::copy_from(&vec![7; len]);
    payload.seal(Header::new(Op::Request, 1, Flags::NONE), &Trailer::default(), None)
}

#[test]
fn who_waits_for_room_gets_it_or_the_end() {
    model(|| {
        let outbox = Arc::new(Outbox::new(400, 100));
        outbox.try_push(small(80), Lane::Prompt).expect("there is room");
        let waiting = Arc::clone(&outbox);
        let waiting = thread::spawn(move || {
            block_on(async {
                let frame = small(60);
                waiting.room(frame.len(), Lane::Prompt).await?.push(frame, Lane::Prompt).map(|_| ())
            })
        });
        let taking = Arc::clone(&outbox);
        let taking = thread::spawn(move || {
            let mut hand = Hand::default();
            (take(&taking, &mut hand), hand)
        });
        outbox.finish();
        let (taken, mut hand) = taking.join().expect("no panic");
        let pushed = waiting.join().expect("no panic");
        let taken = taken + take(&outbox, &mut hand);
        assert_eq!(taken, 1 + usize::from(pushed == Ok(())), "what was taken in is there to be written");
        assert!(matches!(pushed, Ok(()) | Err(Closed)));
    });
}

#[test]
fn the_writer_is_woken_by_what_is_queued() {
    model(|| {
        let outbox = Arc::new(Outbox::new(400, 100));
        let pushing = Arc::clone(&outbox);
        let pushing = thread::spawn(move || {
            pushing.try_push(small(10), Lane::Prompt).expect("there is room");
            pushing.push_own(small(0), Lane::Bulk { mux: 1 });
        });
        let (mut hand, mut frames) = (Hand::default(), 0);
        block_on(poll_fn(|cx| {
            outbox.awake();
            loop {
                frames += take(&outbox, &mut hand);
                if frames == 2 {
                    return Poll::Ready(());
                }
                if outbox.sleep(Until::Frames, cx.waker()) == Sleep::Allowed {
                    return Poll::Pending;
                }
            }
        }));
        pushing.join().expect("no panic");
    });
}

fn link() -> Arc<Link> {
    Link::to_grid_node(&Limits::default())
}

/// A stream that was opened, whose caller may send one item.
fn open(link: &Link) -> Arc<Stream> {
    let windows = Windows::from(1);
    let opening = Opening { windows, granted: 1, credits: None, next_seq: 0, deadline: None };
    let new = |mux| Stream::new(End::Caller, mux, link, &opening, &Timeouts::default());
    let stream = link.begin_stream(new).expect("there is room");
    stream.on_sent(Lane::Prompt);
    deliver(&link.table, &frame(Op::AckMux, stream.mux, 0, Flags::NONE, b""));
    stream
}

fn queued(link: &Link) -> Vec<(Op, u32)> {
    let mut hand = Hand::default();
    link.outbox.take(usize::MAX, &mut hand);
    let head = |bytes| Frame::decode(bytes, Capabilities::OWN).expect("ours").head;
    let mut heads = Vec::new();
    if let Some(message) = hand.prompt.next_message(usize::MAX) {
        let mut bytes = Vec::new();
        message.put(&mut bytes);
        let frame = Frame::decode(&bytes, Capabilities::OWN).expect("ours");
        match frame.head.op {
            Op::Merged => heads.extend(elements(&frame).map(|element| head(element.expect("ours")))),
            _ => heads.push(frame.head),
        }
    }
    heads.iter().map(|head| (head.op, head.seq)).collect()
}

#[test]
fn a_credit_wakes_the_sender_that_waits_for_it() {
    model(|| {
        let link = link();
        let stream = open(&link);
        let driver = Arc::clone(&link);
        let mux = stream.mux;
        let driver = thread::spawn(move || deliver(&driver.table, &frame(Op::UnblockClMux, mux, 1, Flags::NONE, b"")));
        for _ in 0..2 {
            assert_eq!(block_on(stream.send(&link, PayloadBuf::copy_from(b"x"))), Ok(()));
        }
        driver.join().expect("no panic");
        assert_eq!(queued(&link), [(Op::MuxClientMsg, 1), (Op::MuxClientMsg, 2)]);
    });
}

/// Neither takes what the other needs: not the one that finds a credit there, nor the one that is about to wait for one.
#[test]
fn two_senders_with_credits_for_both_get_on() {
    model_with(PREEMPTIONS_FEW, || {
        let link = link();
        let stream = open(&link);
        assert_eq!(block_on(stream.send(&link, PayloadBuf::copy_from(b"x"))), Ok(()), "it takes the first credit");
        let (other, its_link) = (Arc::clone(&stream), Arc::clone(&link));
        let other = thread::spawn(move || block_on(other.send(&its_link, PayloadBuf::copy_from(b"x"))));
        let driver = Arc::clone(&link);
        let mux = stream.mux;
        let driver = thread::spawn(move || deliver(&driver.table, &credits(mux, 1, 2)));
        assert_eq!(block_on(stream.send(&link, PayloadBuf::copy_from(b"x"))), Ok(()));
        assert_eq!(other.join().expect("no panic"), Ok(()));
        driver.join().expect("no panic");
        let item = |seq| (Op::MuxClientMsg, seq);
        assert_eq!(queued(&link), [item(1), item(2), item(3)]);
    });
}

#[test]
fn a_sender_that_waits_for_a_credit_learns_of_the_end() {
    model(|| {
        let link = link();
        let stream = open(&link);
        let driver = Arc::clone(&link);
        let mux = stream.mux;
        let driver = thread::spawn(move || deliver(&driver.table, &frame(Op::MuxServerMsg, mux, 1, Flags::EOF, b"")));
        let sent = (0..2).map(|_| block_on(stream.send(&link, PayloadBuf::copy_from(b"x")))).collect::<Vec<_>>();
        driver.join().expect("no panic");
        assert!(sent == [Ok(()), Err(StreamEnded)] || sent == [Err(StreamEnded); 2], "{sent:?}");
        assert_eq!(link.table.in_flight(), 0);
    });
}

#[test]
fn a_reader_gets_each_item_and_then_the_end() {
    model(|| {
        let link = link();
        let stream = open(&link);
        let driver = Arc::clone(&link);
        let mux = stream.mux;
        let driver = thread::spawn(move || {
            deliver(&driver.table, &frame(Op::MuxServerMsg, mux, 1, Flags::NONE, b"a"));
            deliver(&driver.table, &frame(Op::MuxServerMsg, mux, 2, Flags::EOF, b""));
        });
        let mut batch = Batch::default();
        let mut next = || block_on(poll_fn(|cx| stream.poll_next(&link, &mut batch, cx)));
        assert!(matches!(next(), Next::Item(item) if item == "a"));
        assert!(matches!(next(), Next::Over(Over::Finished)));
        driver.join().expect("no panic");
        assert_eq!((link.table.in_flight(), link.inflow.bytes()), (0, 0));
    });
}

#[test]
fn a_stream_ends_once_whether_its_caller_its_remote_or_its_link_ends_it() {
    model(|| {
        let link = link();
        let stream = open(&link);
        let mux = stream.mux;
        let driver = Arc::clone(&link);
        let driver = thread::spawn(move || {
            deliver(&driver.table, &frame(Op::MuxServerMsg, mux, 1, Flags::EOF, b""));
            driver.table.close(&LinkError::Dead);
        });
        let (giving_up, its_link) = (Arc::clone(&stream), Arc::clone(&link));
        let giving_up = thread::spawn(move || giving_up.cancel(&its_link, Ended::Cancelled));
        let mut batch = Batch::default();
        let over = loop {
            match block_on(poll_fn(|cx| stream.poll_next(&link, &mut batch, cx))) {
                Next::Over(over) => break over,
                other => panic!("{other:?} before the end"),
            }
        };
        driver.join().expect("no panic");
        giving_up.join().expect("no panic");
        let cancelled = matches!(over, Over::Because(Ended::Cancelled));
        assert!(cancelled || matches!(over, Over::Finished), "{over:?}");
        let told = queued(&link).contains(&(Op::DisconnectServerMux, 0));
        assert_eq!(told, cancelled, "the remote is told of what it does not know");
        assert!(matches!(block_on(poll_fn(|cx| stream.poll_next(&link, &mut batch, cx))), Next::Told));
        assert_eq!(link.table.in_flight(), 0);
    });
}

/// What a handler's stream has received and what it sends are never locked one within the other, and no link ends under
/// either: here one ends as there is no room for an acknowledgement, while a credit comes in.
#[test]
fn a_link_that_ends_for_a_frame_of_a_stream_does_not_wait_for_a_frame_that_comes_for_it() {
    const MUX: u64 = 7;
    model(|| {
        let link = Link::to_grid_node(&Limits { control_bytes_max: 0, ..Limits::default() });
        let windows = Windows::from(1);
        let opening = Opening { windows, granted: 1, credits: Some(1), next_seq: 1, deadline: None };
        let stream = Arc::new(Stream::new(End::Handler, MUX, &link, &opening, &Timeouts::default()));
        let mut admission = Admission::new(&link, 0, Kind::Stream(windows)).expect("there is room");
        admission.register(MUX, Some(Arc::clone(&stream)));
        let (handler, its_link) = (Arc::clone(&stream), Arc::clone(&link));
        let handler = thread::spawn(move || handler.acknowledge(&its_link));
        let credit = frame(Op::UnblockSrvMux, MUX, 1, Flags::NONE, b"");
        let came = Frame::decode(credit.bytes(), Capabilities::OWN).expect("ours");
        stream.on_frame(&came, &credit, Capabilities::OWN, &mut Wakes::default());
        handler.join().expect("no panic");
        assert!(stream.is_over() && link.end().is_some());
    });
}

#[test]
fn items_and_credits_go_out_in_the_order_of_their_numbers() {
    model(|| {
        let link = link();
        let stream = open(&link);
        deliver(&link.table, &frame(Op::MuxServerMsg, stream.mux, 1, Flags::NONE, b"a"));
        let (reader, its_link) = (Arc::clone(&stream), Arc::clone(&link));
        let reader =
            thread::spawn(move || block_on(poll_fn(|cx| reader.poll_next(&its_link, &mut Batch::default(), cx))));
        assert_eq!(block_on(stream.send(&link, PayloadBuf::copy_from(b"x"))), Ok(()));
        reader.join().expect("no panic");
        let numbers: Vec<u32> = queued(&link).into_iter().map(|(_, seq)| seq).collect();
        assert_eq!(numbers, [1, 2]);
    });
}

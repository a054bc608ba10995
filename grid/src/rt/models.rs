//! The concurrent pieces under loom, which tries every order of their steps up to a bound:
//!
//! ```text
//! RUSTFLAGS="--cfg grid_loom" cargo test -p grid-rpc --lib --release models
//! ```
//!
//! A wake-up that is lost shows as a deadlock.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use loom::future::block_on;
use loom::model::Builder;
use loom::thread;

use super::counts::Counts;
use super::ended::Ended;
use super::link::Link;
use super::outbox::{Closed, Outbox, Taken};
use super::stream::{Next, Opening, Stream};
use super::stream_out::StreamEnded;
use super::table::{Met, Table};
use crate::error::LinkError;
use crate::limits::{Limits, Timeouts};
use crate::proto::{Cancel, End, Over};
use crate::windows::Windows;
use crate::wire::{Capabilities, EncodedFrame, Flags, Frame, Header, Op, PayloadBuf, Trailer};

/// Each thread is taken off at most this often where it need not be.
const PREEMPTIONS: usize = 5;

fn model(body: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS);
    builder.check(body);
}

fn frame(op: Op, mux: u64, seq: u32, flags: Flags, payload: &[u8]) -> Bytes {
    let header = Header { seq, ..Header::new(op, mux, flags) };
    Bytes::copy_from_slice(PayloadBuf::copy_from(payload).seal(header, &Trailer::default(), None).as_bytes())
}

fn deliver(table: &Table, message: &Bytes) -> Met {
    let frame = Frame::decode(message, Capabilities::OWN).expect("a frame of ours");
    table.on_frame(&frame, message, Capabilities::OWN)
}

fn wait(table: &Table, mux: u64) -> Ended {
    block_on(poll_fn(|cx| table.poll(mux, cx)))
}

#[test]
fn a_call_ends_once_whether_its_answer_or_the_end_of_its_link_comes_first() {
    model(|| {
        let table = Arc::new(Table::new(1, 8, 0));
        let mux = table.insert().expect("there is room");
        table.on_sent(mux);
        let answering = Arc::clone(&table);
        let answering = thread::spawn(move || deliver(&answering, &frame(Op::Response, mux, 0, Flags::EOF, b"x")));
        let closing = Arc::clone(&table);
        let closing = thread::spawn(move || closing.close(&LinkError::Dead));
        match (wait(&table, mux), answering.join().expect("no panic")) {
            (Ended::Answer(_), Met::Call) | (Ended::Link(LinkError::Dead), Met::Nobody) => {}
            other => panic!("{other:?}"),
        }
        closing.join().expect("no panic");
        assert_eq!(table.in_flight(), 0);
    });
}

#[test]
fn a_late_answer_never_meets_the_next_call_in_the_slot() {
    model(|| {
        let table = Arc::new(Table::new(1, 8, 0));
        let first = table.insert().expect("there is room");
        table.on_sent(first);
        let answering = Arc::clone(&table);
        let answering = thread::spawn(move || deliver(&answering, &frame(Op::Response, first, 0, Flags::EOF, b"x")));
        let told = table.cancel(first) == Some(Cancel::Tell);
        let second = table.insert().expect("there is room");
        let met = matches!(answering.join().expect("no panic"), Met::Call);
        assert_ne!(told, met, "cancelled or answered, not both");
        assert_eq!(table.cancel(second), Some(Cancel::Forget), "nothing came for the second");
        assert_eq!(table.in_flight(), 0);
    });
}

fn small(len: usize) -> EncodedFrame {
    let payload = PayloadBuf::copy_from(&vec![7; len]);
    payload.seal(Header::new(Op::Request, 1, Flags::NONE), &Trailer::default(), None)
}

#[test]
fn who_waits_for_room_gets_it_or_the_end() {
    model(|| {
        let outbox = Arc::new(Outbox::new(100, 100));
        outbox.try_push(small(80)).expect("there is room");
        let waiting = Arc::clone(&outbox);
        let waiting = thread::spawn(move || block_on(waiting.push(small(60))));
        let taking = Arc::clone(&outbox);
        let taking = thread::spawn(move || taking.take(1, &mut Vec::new()));
        outbox.finish();
        let mut rest = Vec::new();
        taking.join().expect("no panic");
        let pushed = waiting.join().expect("no panic");
        outbox.take(usize::MAX, &mut rest);
        assert_eq!(rest.len(), usize::from(pushed == Ok(())), "what was taken in is there to be written");
        assert!(matches!(pushed, Ok(()) | Err(Closed)));
    });
}

#[test]
fn the_writer_is_woken_by_what_is_queued() {
    model(|| {
        let outbox = Arc::new(Outbox::new(100, 100));
        let pushing = Arc::clone(&outbox);
        let pushing = thread::spawn(move || {
            pushing.try_push(small(10)).expect("there is room");
            pushing.push_own(small(0));
        });
        let mut frames = Vec::new();
        block_on(poll_fn(|cx| {
            outbox.register(cx);
            while outbox.take(1, &mut frames) == Taken::Some {}
            if frames.len() == 2 { Poll::Ready(()) } else { Poll::Pending }
        }));
        pushing.join().expect("no panic");
    });
}

fn link() -> Arc<Link> {
    let counts = Arc::new(Counts::default());
    Arc::new(Link::new(Capabilities::OWN, Flags::NONE, [0; 16], &Limits::default(), counts))
}

/// A stream that was opened, whose caller may send one item.
fn open(link: &Link) -> Arc<Stream> {
    let windows = Windows::from(1);
    let opening = Opening { windows, granted: 1, credits: None, next_seq: 0, deadline: None };
    let new = |mux| Stream::new(End::Caller, mux, link, &opening, &Timeouts::default());
    let stream = link.table.insert_stream(new).expect("there is room");
    stream.on_sent();
    deliver(&link.table, &frame(Op::AckMux, stream.mux, 0, Flags::NONE, b""));
    stream
}

fn queued(link: &Link) -> Vec<(Op, u32)> {
    let mut frames = Vec::new();
    link.outbox.take(usize::MAX, &mut frames);
    let head = |frame: &EncodedFrame| Frame::decode(frame.as_bytes(), Capabilities::OWN).expect("ours").head;
    frames.iter().map(head).map(|head| (head.op, head.seq)).collect()
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
        let mut next = || block_on(poll_fn(|cx| stream.poll_next(&link, cx)));
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
        let over = loop {
            match block_on(poll_fn(|cx| stream.poll_next(&link, cx))) {
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
        assert!(matches!(block_on(poll_fn(|cx| stream.poll_next(&link, cx))), Next::Told));
        assert_eq!(link.table.in_flight(), 0);
    });
}

#[test]
fn items_and_credits_go_out_in_the_order_of_their_numbers() {
    model(|| {
        let link = link();
        let stream = open(&link);
        deliver(&link.table, &frame(Op::MuxServerMsg, stream.mux, 1, Flags::NONE, b"a"));
        let (reader, its_link) = (Arc::clone(&stream), Arc::clone(&link));
        let reader = thread::spawn(move || block_on(poll_fn(|cx| reader.poll_next(&its_link, cx))));
        assert_eq!(block_on(stream.send(&link, PayloadBuf::copy_from(b"x"))), Ok(()));
        reader.join().expect("no panic");
        let numbers: Vec<u32> = queued(&link).into_iter().map(|(_, seq)| seq).collect();
        assert_eq!(numbers, [1, 2]);
    });
}

use super::*;
use crate::wire::{Capabilities, Header, Trailer};

type Machine = Receiving<&'static str>;

fn machine(end: End, peer: Capabilities, window: u32) -> Machine {
    Receiving::new(end, Window::new(peer, window, window), if end == End::Caller { 0 } else { 1 })
}

fn frame(op: Op, seq: u32, flags: Flags, payload: &[u8]) -> Frame<'_> {
    let head = Header { seq, ..Header::new(op, 7, flags) };
    Frame { head, payload, rest: &[], subroute: None, trailer: None }
}

fn feed<'a>(machine: &mut Machine, frame: &Frame<'a>) -> Event<'a> {
    machine.on_frame(frame, |payload, _| Some(Bytes::copy_from_slice(payload)))
}

fn item(seq: u32) -> Frame<'static> {
    frame(Op::MuxClientMsg, seq, Flags::NONE, b"x")
}

/// What a reader gets that takes one thing at a time.
#[derive(Debug, PartialEq)]
enum Taken {
    Item(Bytes, u32),
    Over(Take<&'static str>),
}

fn take(machine: &mut Machine) -> Taken {
    let mut batch = Batch::default();
    machine.settle(&mut batch, |_| Memory::Plenty);
    let Some(item) = batch.next() else { return Taken::Over(machine.take_over()) };
    // What is left goes back, as if it had not been handed over.
    let mut rest = std::mem::take(&mut batch.items);
    let credits = machine.settle(&mut batch, |_| Memory::Plenty);
    rest.append(&mut batch.items);
    machine.items = rest;
    Taken::Item(item, credits)
}

#[test]
fn the_last_items_come_before_the_end_and_the_end_once() {
    let mut machine = machine(End::Caller, Capabilities::V1, 2);
    assert_eq!(feed(&mut machine, &frame(Op::AckMux, 0, Flags::NONE, b"")), Event::Opened(None));
    assert_eq!(feed(&mut machine, &frame(Op::MuxServerMsg, 1, Flags::NONE, b"a")), Event::Readable);
    assert_eq!(feed(&mut machine, &frame(Op::MuxServerMsg, 2, Flags::EOF, b"b")), Event::Ended(None));
    assert!(machine.on_over(Over::Finished));
    assert!(!machine.on_over(Over::Because("late")));
    assert!(matches!(take(&mut machine), Taken::Item(item, 0) if item == "a"));
    assert!(matches!(take(&mut machine), Taken::Item(item, 0) if item == "b"));
    assert_eq!(take(&mut machine), Taken::Over(Take::Over(Over::Finished)));
    assert_eq!(take(&mut machine), Taken::Over(Take::Told));
}

#[test]
fn what_comes_to_a_caller_out_of_order_ends_the_call_but_for_an_error() {
    for op in [Op::AckMux, Op::UnblockClMux, Op::MuxServerMsg] {
        let mut machine = machine(End::Caller, Capabilities::V1, 2);
        let ended = feed(&mut machine, &frame(op, 3, Flags::NONE, b"a"));
        assert_eq!(ended, Event::Ended(Some(Outcome::Violation("out-of-sequence item received"))), "{op:?}");
    }
    let mut machine = machine(End::Caller, Capabilities::V1, 2);
    let error = frame(Op::MuxServerMsg, 9, Flags::EOF | Flags::ERROR, b"why");
    assert_eq!(feed(&mut machine, &error), Event::Ended(Some(Outcome::Error(b"why"))));
    assert!(!machine.is_opened(), "an error that overtook the answer to the opening is the answer");
}

#[test]
fn what_a_caller_may_not_send_is_refused_in_the_words_of_v1() {
    let violation = |machine: &mut Machine, frame| match feed(machine, &frame) {
        Event::Violation(text) => text.to_string(),
        other => panic!("{other:?} instead of a violation"),
    };
    let mut one = machine(End::Handler, Capabilities::V1, 1);
    feed(&mut one, &item(1));
    assert_eq!(violation(&mut one, item(2)), "handler blocked");
    let mut skipping = machine(End::Handler, Capabilities::V1, 1);
    assert_eq!(violation(&mut skipping, item(2)), "receive sequence number mismatch. want 1, got 2");
    let mut none = machine(End::Handler, Capabilities::V1, 0);
    assert_eq!(take(&mut none), Taken::Over(Take::Over(Over::Finished)), "there is nothing to wait for");
    assert_eq!(violation(&mut none, item(1)), "did not expect inbound message");
    let mut over = machine(End::Handler, Capabilities::V1, 2);
    assert_eq!(feed(&mut over, &frame(Op::MuxClientMsg, 1, Flags::EOF, b"")), Event::Readable);
    assert_eq!(violation(&mut over, item(2)), "did not expect inbound message");
}

#[test]
fn a_cancelled_input_is_no_clean_end() {
    let mut machine = machine(End::Handler, Capabilities::OWN, 2);
    feed(&mut machine, &item(1));
    assert_eq!(feed(&mut machine, &frame(Op::DisconnectServerMux, 0, Flags::NONE, b"")), Event::Cancelled);
    machine.on_over(Over::Because("cancelled"));
    assert!(matches!(take(&mut machine), Taken::Item(..)));
    assert_eq!(take(&mut machine), Taken::Over(Take::Over(Over::Because("cancelled"))));
}

#[test]
fn credits_are_one_unless_they_are_counted() {
    let mut machine = machine(End::Handler, Capabilities::OWN, 2);
    let one = frame(Op::UnblockSrvMux, 1, Flags::NONE, b"");
    assert_eq!(feed(&mut machine, &one), Event::Credits(1));
    let trailer = Trailer { credits: Some(30), ..Trailer::default() };
    let many = Frame { trailer: Some(trailer), ..frame(Op::UnblockSrvMux, 2, Flags::NONE, b"") };
    assert_eq!(feed(&mut machine, &many), Event::Credits(30));
    assert_eq!(feed(&mut machine, &frame(Op::Ping, 3, Flags::NONE, b"")), Event::Ping);
}

#[test]
fn a_nil_item_of_a_v1_server_is_an_empty_one() {
    let mut machine = machine(End::Caller, Capabilities::V1, 1);
    feed(&mut machine, &frame(Op::AckMux, 0, Flags::NONE, b""));
    assert_eq!(feed(&mut machine, &frame(Op::MuxServerMsg, 1, Flags::NONE, b"")), Event::Readable);
    assert_eq!(take(&mut machine), Taken::Item(Bytes::new(), 1));
    assert_eq!(feed(&mut machine, &frame(Op::MuxServerMsg, 2, Flags::NONE, b"b")), Event::Readable);
}

#[test]
fn an_item_for_which_there_is_no_room_is_thrown_away_also_with_the_end() {
    for flags in [Flags::NONE, Flags::EOF] {
        let mut machine = machine(End::Caller, Capabilities::OWN, 2);
        feed(&mut machine, &frame(Op::AckMux, 0, Flags::NONE, b""));
        feed(&mut machine, &frame(Op::MuxServerMsg, 1, Flags::NONE, b"abc"));
        let second = frame(Op::MuxServerMsg, 2, flags, b"d");
        let refuse = |_: &[u8], waiting| {
            assert_eq!(waiting, held_bytes(3));
            None
        };
        assert_eq!(machine.on_frame(&second, refuse), Event::Overflow);
        assert!(matches!(take(&mut machine), Taken::Item(item, _) if item == "abc"));
        assert_eq!(take(&mut machine), Taken::Over(Take::Wait));
    }
}

#[test]
fn items_for_nobody_are_not_kept() {
    let mut machine = machine(End::Handler, Capabilities::OWN, 3);
    feed(&mut machine, &item(1));
    let (items, bytes) = machine.on_reader_gone();
    assert_eq!((items.len(), bytes), (1, held_bytes(items[0].len())));
    feed(&mut machine, &item(2));
    assert_eq!(take(&mut machine), Taken::Over(Take::Wait));
}

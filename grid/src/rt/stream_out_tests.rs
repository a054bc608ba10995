use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use tokio::task::JoinHandle;

use super::super::hand::Hand;
use super::super::message::Message;
use super::super::opening::Opening;
use super::super::outbox::Taken;
use super::super::wakes::Wakes;
use super::*;
use crate::limits::{Limits, Timeouts};
use crate::proto::End;
use crate::windows::Windows;
use crate::wire::{Flags, Frame};

const WINDOW: u32 = 100;

fn link(outbox_bytes_max: usize) -> Arc<Link> {
    let limits = Limits { outbox_bytes_max, ..Limits::default() };
    Link::to_grid_node(&limits)
}

/// The other end grants so many credits, at the opening (`AckMux`) or later.
fn grant(link: &Link, op: Op, mux: u64, credits: u32) {
    let header = Header { seq: u32::from(op != Op::AckMux), ..Header::new(op, mux, Flags::NONE) };
    let trailer = Trailer { credits: Some(credits), ..Trailer::default() };
    let message = Message::from(Bytes::copy_from_slice(PayloadBuf::new().seal(header, &trailer, None).as_bytes()));
    let frame = Frame::decode(message.bytes(), Capabilities::OWN).unwrap();
    link.table.on_frame(&frame, &message, Capabilities::OWN, &mut Wakes::default());
}

/// The caller's end of a stream that was opened with so many credits.
fn open(link: &Link, credits: u32) -> Arc<Stream> {
    let opening = Opening { windows: Windows::from(WINDOW), granted: 1, credits: None, next_seq: 0, deadline: None };
    let new = |mux| Stream::new(End::Caller, mux, link, &opening, &Timeouts::default());
    let stream = link.begin_stream(new).unwrap();
    stream.on_sent(Lane::Prompt);
    grant(link, Op::AckMux, stream.mux, credits);
    stream
}

fn item(len: usize) -> PayloadBuf {
    PayloadBuf::copy_from(&vec![7; len])
}

/// A task of its own: after its first poll it gets on only if it is woken.
fn sender(link: &Arc<Link>, stream: &Arc<Stream>) -> JoinHandle<Result<(), StreamEnded>> {
    let (link, stream) = (Arc::clone(link), Arc::clone(stream));
    tokio::spawn(async move { stream.send(&link, item(1)).await })
}

/// Lets every task run until it waits.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// Leaves no room for small frames.
fn fill(link: &Link) {
    let filler = |len| item(len).seal(Header::new(Op::Request, 1, Flags::NONE), &Trailer::default(), None);
    for len in [500, 0] {
        while link.outbox.try_push(filler(len), Lane::Prompt).is_ok() {}
    }
}

/// Writes all that is queued, so that there is room again.
fn write(link: &Link) {
    let hand = &mut Hand::default();
    while link.outbox.take(usize::MAX, hand) == Taken::Some {
        while hand.prompt.next_message(usize::MAX).is_some() {}
    }
}

#[tokio::test(start_paused = true)]
async fn the_credit_of_a_sender_that_is_dropped_while_it_waits_for_room_goes_to_the_next() {
    let link = link(4 << 10);
    let stream = open(&link, 0);
    let (first, second) = (sender(&link, &stream), sender(&link, &stream));
    settle().await;
    fill(&link);
    grant(&link, Op::UnblockClMux, stream.mux, 1);
    settle().await;
    assert!(!first.is_finished() && !second.is_finished(), "there is no room");
    first.abort();
    settle().await;
    write(&link);
    settle().await;
    assert!(second.is_finished(), "there are a credit and room");
    assert_eq!(second.await.unwrap(), Ok(()));
    assert_eq!(stream.credits.available_permits(), 0);
}

#[test]
fn a_send_that_is_dropped_before_its_end_has_sent_nothing_and_taken_no_credit() {
    let link = link(4 << 20);
    let stream = open(&link, WINDOW);
    let (mut sent, mut yielded) = (0, 0);
    for _ in 0..3 * WINDOW {
        let before = link.outbox.queued_bytes();
        match stream.send(&link, item(1000)).now_or_never() {
            Some(result) => {
                assert_eq!(result, Ok(()));
                sent += 1;
            }
            None => {
                assert_eq!(link.outbox.queued_bytes(), before);
                yielded += u32::from(sent < WINDOW);
            }
        }
    }
    assert_eq!(sent, WINDOW);
    assert!(yielded > 0, "with much queued it lets the driver write, although there are credits and room");
}

#[test]
fn a_handler_that_is_given_up_at_its_deadline_finds_no_fault_with_what_still_comes() {
    let link = link(4 << 20);
    let opening = Opening { windows: Windows::from(1), granted: 1, credits: Some(1), next_seq: 1, deadline: None };
    let stream = Stream::new(End::Handler, 7, &link, &opening, &Timeouts::default());
    stream.abandon(&link);
    let told = link.outbox.queued_bytes();
    assert!(told > 0);
    stream.refuse(&link, RefusalReason::Unspecified, "did not expect inbound message");
    stream.abandon(&link);
    assert_eq!(link.outbox.queued_bytes(), told);
    assert_eq!(stream.send(&link, item(1)).now_or_never(), Some(Err(StreamEnded)));
}

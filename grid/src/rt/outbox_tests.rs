use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::*;
use crate::wire::{Flags, Header, Op, PayloadBuf, Trailer};

/// The room of the prompt lane, of an outbox four times as large.
const ROOM: usize = 100;

/// Above what is small.
const LARGE: usize = 5000;

fn outbox() -> Outbox {
    Outbox::new(ROOM * PROMPT_SHARE, 64)
}

fn frame(len: usize) -> EncodedFrame {
    let header = if len > 266 { 10 } else { 9 };
    let payload = PayloadBuf::copy_from(&vec![7; len - header]);
    let frame = payload.seal(Header::new(Op::Request, 1, Flags::NONE), &Trailer::default(), None);
    assert_eq!(frame.len(), len);
    frame
}

async fn push(outbox: &Outbox, frame: EncodedFrame, lane: Lane) -> Result<(), Closed> {
    outbox.room(frame.len(), lane).await?.push(frame, lane).map(|_| ())
}

/// What a writer takes and puts into one write.
fn write(outbox: &Outbox, hand: &mut Hand) -> Vec<usize> {
    let mut lens = Vec::new();
    outbox.take(usize::MAX, hand);
    for pack in [&mut hand.first, &mut hand.prompt] {
        while let Some(message) = pack.next_message(1 << 10) {
            lens.push(message.encoded_len());
        }
    }
    lens.extend(hand.large.take().map(|large| large.len()));
    // Gives room back.
    outbox.take(usize::MAX, hand);
    lens
}

#[test]
fn senders_wait_for_room_and_get_it_in_order() {
    let (outbox, hand) = (outbox(), &mut Hand::default());
    let cx = &mut Context::from_waker(Waker::noop());
    outbox.try_push(frame(80), Lane::Prompt).unwrap();
    let mut large = pin!(push(&outbox, frame(60), Lane::Prompt));
    assert!(large.as_mut().poll(cx).is_pending());
    let mut small = pin!(push(&outbox, frame(10), Lane::Prompt));
    assert!(small.as_mut().poll(cx).is_pending(), "a small frame does not overtake");
    assert_eq!(write(&outbox, hand), [80]);
    assert_eq!(large.poll(cx), Poll::Ready(Ok(())));
    assert_eq!(small.poll(cx), Poll::Ready(Ok(())));
    assert_eq!(write(&outbox, hand), [9 + 62 + 12]);
    assert_eq!(outbox.queued_bytes(), 0);
}

#[test]
fn neither_lane_waits_for_room_in_the_other() {
    let (outbox, hand) = (outbox(), &mut Hand::default());
    let bulk = Lane::Bulk { mux: 1 };
    outbox.try_push(frame(LARGE), bulk).unwrap();
    assert!(matches!(outbox.try_push(frame(LARGE), bulk), Err(TryPush::Full(_))));
    outbox.try_push(frame(ROOM), Lane::Prompt).unwrap();
    assert!(matches!(outbox.try_push(frame(10), Lane::Prompt), Err(TryPush::Full(_))));
    assert_eq!(write(&outbox, hand), [ROOM, LARGE]);
    outbox.try_push(frame(LARGE), bulk).unwrap();
}

#[test]
fn a_dropped_sender_leaves_nothing_behind() {
    let (outbox, hand) = (outbox(), &mut Hand::default());
    outbox.try_push(frame(80), Lane::Prompt).unwrap();
    {
        let mut waiting = pin!(push(&outbox, frame(60), Lane::Prompt));
        assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    assert_eq!(write(&outbox, hand), [80]);
    assert_eq!(outbox.prompt.room.available_permits(), ROOM);
    assert_eq!(write(&outbox, hand), [0; 0]);
}

#[test]
fn a_frame_larger_than_the_room_goes_alone() {
    let (outbox, hand) = (outbox(), &mut Hand::default());
    outbox.try_push(frame(1000), Lane::Prompt).unwrap();
    assert!(matches!(outbox.try_push(frame(10), Lane::Prompt), Err(TryPush::Full(_))));
    assert_eq!(write(&outbox, hand), [1000]);
    assert_eq!(outbox.prompt.room.available_permits(), ROOM);
}

#[test]
fn closing_ends_those_who_wait_and_finishing_keeps_what_is_queued() {
    let (outbox, hand) = (outbox(), &mut Hand::default());
    outbox.try_push(frame(80), Lane::Prompt).unwrap();
    let mut waiting = pin!(push(&outbox, frame(60), Lane::Prompt));
    let cx = &mut Context::from_waker(Waker::noop());
    assert!(waiting.as_mut().poll(cx).is_pending());
    outbox.finish();
    assert_eq!(waiting.poll(cx), Poll::Ready(Err(Closed)));
    assert_eq!(write(&outbox, hand), [80]);
    assert_eq!(outbox.take(1, hand), Taken::Finished);
    let place = Place::InOrder(Lane::Prompt);
    assert_eq!(outbox.push_control(frame(10), place), Err(ControlRefused::Closed));
}

#[test]
fn control_frames_do_not_wait_and_have_a_limit() {
    let (outbox, hand) = (outbox(), &mut Hand::default());
    let place = Place::InOrder(Lane::Prompt);
    outbox.try_push(frame(ROOM), Lane::Prompt).unwrap();
    assert_eq!(outbox.push_control(frame(30), place), Ok(()));
    assert_eq!(outbox.push_control(frame(20), Place::First), Ok(()));
    assert_eq!(outbox.push_control(frame(20), place), Err(ControlRefused::Overflow));
    assert_eq!(write(&outbox, hand), [20, 9 + ROOM + 2 + 30 + 2]);
    assert_eq!(outbox.push_control(frame(20), place), Ok(()));
}

#[test]
fn what_is_written_holds_its_room_until_it_is_put_into_a_write() {
    let (outbox, hand) = (outbox(), &mut Hand::default());
    outbox.try_push(frame(80), Lane::Prompt).unwrap();
    assert_eq!(outbox.take(usize::MAX, hand), Taken::Some);
    assert!(matches!(outbox.try_push(frame(80), Lane::Prompt), Err(TryPush::Full(_))));
    assert_eq!(outbox.queued_bytes(), 82);
    assert!(hand.prompt.next_message(1 << 10).is_some());
    assert_eq!(outbox.take(usize::MAX, hand), Taken::None);
    assert!(outbox.try_push(frame(80), Lane::Prompt).is_ok());
}

#[test]
fn a_large_frame_waits_for_the_small_ones_before_it_and_lets_later_ones_go() {
    let (outbox, hand) = (outbox(), &mut Hand::default());
    outbox.try_push(frame(40), Lane::Prompt).unwrap();
    outbox.try_push(frame(LARGE), Lane::Bulk { mux: 1 }).unwrap();
    outbox.try_push(frame(40), Lane::Prompt).unwrap();
    outbox.take(41, hand);
    assert!(hand.large.is_none(), "of the small ones before it, not all go into this write");
    outbox.take(42, hand);
    assert!(hand.large.is_some());
}

#[test]
fn a_sleeping_writer_is_woken_by_frames_and_a_blocked_one_by_the_end_alone() {
    struct Count(std::sync::atomic::AtomicUsize);
    impl std::task::Wake for Count {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }
    let count = std::sync::Arc::new(Count(0.into()));
    let waker = Waker::from(std::sync::Arc::clone(&count));
    let woken = || count.0.load(std::sync::atomic::Ordering::Relaxed);
    let outbox = outbox();
    assert_eq!(outbox.sleep(Until::Frames, &waker), Sleep::Allowed);
    outbox.try_push(frame(10), Lane::Prompt).unwrap();
    outbox.try_push(frame(10), Lane::Prompt).unwrap();
    assert_eq!(woken(), 1);
    assert_eq!(outbox.sleep(Until::Frames, &waker), Sleep::TooLate);
    assert_eq!(outbox.sleep(Until::End, &waker), Sleep::Allowed);
    outbox.try_push(frame(10), Lane::Prompt).unwrap();
    assert_eq!(woken(), 1);
    outbox.close();
    assert_eq!(woken(), 2);
    assert_eq!(outbox.sleep(Until::End, &waker), Sleep::TooLate);
}

#[test]
fn what_is_small_goes_with_what_is_small_again_once_no_large_frame_of_its_call_waits() {
    let (outbox, hand) = (outbox(), &mut Hand::default());
    let bulk = Lane::Bulk { mux: 1 };
    outbox.push_own(frame(LARGE), bulk);
    outbox.push_own(frame(20), bulk);
    assert_eq!(write(&outbox, hand), [LARGE]);
    assert_eq!(write(&outbox, hand), [20], "it stays behind the large one");
    outbox.push_own(frame(20), bulk);
    outbox.push_own(frame(20), bulk);
    assert_eq!(write(&outbox, hand), [9 + 2 * 22]);
}

#[test]
fn a_sender_of_small_frames_need_not_yield_for_the_bulk_of_others() {
    let outbox = Outbox::new(1 << 20, 64);
    let push = |len, lane| outbox.try_room(len, lane).unwrap().push(frame(len), lane).unwrap();
    let bulk = Lane::Bulk { mux: 2 };
    assert_eq!(push(LARGE, bulk), Queued::Little);
    assert_eq!(push(MUCH, bulk), Queued::Much, "its own lane is full enough");
    assert_eq!(push(100, Lane::Prompt), Queued::Little);
    while outbox.queued_bytes() < LARGE + 2 * MUCH - 200 {
        assert_eq!(push(100, Lane::Prompt), Queued::Little);
    }
    let queued = (0..5).map(|_| push(100, Lane::Prompt)).collect::<Vec<_>>();
    assert_eq!(queued.last(), Some(&Queued::Much), "now its own is, too");
}

//! One end of a stream whose other end says anything.

use super::choices::Choices;
use super::end::{End, Last, Room, StreamEnd, Terms};
use super::way::MUX;
use crate::proto::{Memory, Outcome, outcome};
use crate::wire::{Capabilities, Flags, Frame, Header, Op, RefusalReason, Trailer};

/// Feeds frames to one end and lets its user do this and that. It may end the call for what it hears, and otherwise
/// keeps its account; its user gets what it has kept, in order, and one end.
pub fn hostile(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let settings = choices.byte();
    let end = if settings & 1 == 0 { End::Caller } else { End::Handler };
    let peer = if settings & 2 == 0 { Capabilities::OWN } else { Capabilities::V1 };
    let (window, credits) = (choices.of(&[1, 0, 2, 3, 8, 64]), choices.of(&[1, 0, 2, 8]));
    let granted = if settings & 4 == 0 { window } else { window.min(1) };
    let mut this = StreamEnd::new(end, Terms { peer, window, granted, credits });
    let mut next_seq = u32::from(end == End::Handler);
    while !choices.is_over() {
        match choices.byte() & 0x0f {
            0..8 => on_frame(&mut this, &mut choices, &mut next_seq),
            8 | 9 => {
                this.read();
            }
            10 => while this.read() {},
            11 => {
                this.send(&vec![1; usize::from(choices.byte()) * choices.of(&[1, 1, 1, 1, 5, 5, 5, 1200])].into());
            }
            12 => this.memory = if choices.is_so() { Memory::Scarce } else { Memory::Plenty },
            13 => this.drop_reader(),
            14 if end == End::Handler => this.end(if choices.is_so() { Last::Nil } else { Last::Error }),
            14 => this.finish(),
            _ if choices.byte() & 7 == 0 => this.give_up(),
            _ => this.ping(),
        }
        this.check();
        this.out.clear();
    }
    while this.read() {}
    assert!(!this.reads() || this.read == this.kept.len(), "what was kept is there to be read");
    assert!(!this.reads() || !this.is_over || this.told.is_some(), "a reader waits for the end of a call that is over");
}

/// A frame whose number is the next one, most of the time.
fn on_frame(this: &mut StreamEnd, choices: &mut Choices<'_>, next_seq: &mut u32) {
    let op = choices.of(&OPS);
    let flags = choices.byte();
    let all = [Flags::EOF, Flags::ERROR, Flags::ZERO, Flags::STATELESS];
    let set = all.into_iter().enumerate().filter(|(bit, _)| flags & (1 << bit) != 0);
    let flags_set = set.fold(Flags::CRC, |flags, (_, flag)| flags | flag);
    let seq = if flags & 0x10 == 0 { *next_seq } else { choices.u32() };
    let credits = (flags & 0x20 != 0).then(|| choices.u32());
    let refusal = (flags & 0x40 != 0).then_some(RefusalReason::Overloaded);
    let trailer = (flags & 0x60 != 0).then(|| Trailer { credits, refusal, ..Trailer::default() });
    let room = if flags & 0x80 == 0 { Room::Enough } else { Room::None };
    let payload = choices.some_bytes();
    let head = Header { seq, ..Header::new(op, MUX, flags_set) };
    let frame = Frame { head, payload, rest: &[], subroute: None, trailer };
    check_outcome(&frame);
    let before = this.kept.len();
    this.on_frame(&frame, room);
    assert!(this.kept.get(before).is_none_or(|item| *item == payload), "an item is what came");
    if !matches!(op, Op::Pong | Op::DisconnectClientMux | Op::DisconnectServerMux | Op::MuxConnectError) {
        *next_seq = seq.wrapping_add(1);
    }
}

/// What the same frame would mean to a single request.
fn check_outcome(frame: &Frame<'_>) {
    let is_error = frame.head.flags.contains(Flags::ERROR);
    let refusal = frame.trailer.as_ref().and_then(|trailer| trailer.refusal);
    let is_answer = matches!(frame.head.op, Op::Response | Op::MuxServerMsg);
    match outcome(frame) {
        Some(Outcome::Answer(answer)) => assert!(is_answer && !is_error && answer == frame.payload),
        Some(Outcome::Error(error)) => assert!(is_answer && is_error && refusal.is_none() && error == frame.payload),
        Some(Outcome::Refused(reason, _)) if is_answer => assert!(is_error && refusal == Some(reason)),
        Some(Outcome::Refused(..)) => {}
        Some(Outcome::Violation(_)) => assert!(is_answer && frame.head.seq != 0),
        None => assert!(!is_answer && frame.head.op != Op::MuxConnectError),
    }
}

const OPS: [Op; 16] = [
    Op::MuxClientMsg,
    Op::MuxServerMsg,
    Op::AckMux,
    Op::UnblockSrvMux,
    Op::UnblockClMux,
    Op::Response,
    Op::Ping,
    Op::Pong,
    Op::MuxConnectError,
    Op::DisconnectClientMux,
    Op::DisconnectServerMux,
    Op::MuxClientMsg,
    Op::MuxServerMsg,
    Op::ConnectMux,
    Op::Request,
    Op::Unknown(99),
];

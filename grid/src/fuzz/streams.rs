//! The two ends of a stream back to back, over a way that may lose, repeat and swap frames.

use super::choices::Choices;
use super::end::{End, Last, Room, StreamEnd, Terms, Why};
use super::way::{Carries, MUX, Way, Wire};
use crate::proto::{Memory, Over};
use crate::wire::{Capabilities, Flags, Frame, Header, Op, PayloadBuf, Trailer};

/// Runs a stream by some choices. Without faults of the way nothing stands still and each end learns of all; with them each
/// end still gets a beginning of what the other has sent, and all of it if it ended well.
pub fn streams(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let mut pair = Pair::new(&mut choices);
    while !choices.is_over() {
        pair.step(&mut choices);
        pair.check();
    }
    pair.run_out();
    pair.check();
    pair.check_flow();
}

/// Both ends, and what is between them beside what they send.
struct Pair {
    caller: StreamEnd,
    /// Once the opening has come.
    handler: Option<StreamEnd>,
    opening: Option<Wire>,
    capabilities: Capabilities,
    /// Of the handler.
    terms: Terms,
    way: Way,
    /// An item met no room, which may end the call at any time.
    overflown: bool,
    /// Of all items.
    bytes: usize,
}

impl Pair {
    fn new(choices: &mut Choices<'_>) -> Self {
        let settings = choices.byte();
        let capabilities = if settings & 1 == 0 { Capabilities::OWN } else { Capabilities::V1 };
        let counted = capabilities == Capabilities::OWN;
        let way = if settings & 2 == 0 { Way::Good } else { Way::Bad };
        let (inbound, outbound) = (choices.of(&[0, 1, 2, 3, 8, 64, 1024]), choices.of(&[1, 2, 3, 8, 64, 1024]));
        let grant = |window: u32, scarce: u8| if counted && settings & scarce != 0 { window.min(1) } else { window };
        let (into_handler, out_of_handler) = (grant(inbound, 4), grant(outbound, 8));
        let peer = capabilities;
        let caller = Terms { peer, window: outbound, granted: out_of_handler, credits: inbound };
        let terms = Terms { peer, window: inbound, granted: into_handler, credits: out_of_handler };
        let opening = Some(granting(Op::ConnectMux, capabilities, out_of_handler));
        let caller = StreamEnd::new(End::Caller, caller);
        Self { caller, handler: None, opening, capabilities, terms, way, overflown: false, bytes: 0 }
    }

    fn step(&mut self, choices: &mut Choices<'_>) {
        let op = choices.byte();
        let of_caller = op & 0x80 == 0;
        match op & 0x1f {
            6..10 => return self.reach_handler(Room::Enough),
            10..14 => return self.reach_caller(Room::Enough),
            14 => return self.reach_handler(Room::None),
            15 => return self.reach_caller(Room::None),
            16 => return self.caller.finish(),
            17 => return self.caller.ping(),
            18 => return self.caller.give_up(),
            19 => return self.fault(of_caller, choices),
            _ => {}
        }
        let (caller, handler) = (&mut self.caller, &mut self.handler);
        let Some(end) = (if of_caller { Some(caller) } else { handler.as_mut() }) else { return };
        match op & 0x1f {
            0..6 => {
                let size = usize::from(choices.byte()) * choices.of(&[0, 1, 1, 1, 1, 5, 5, 4200]);
                self.bytes += size;
                end.send(&vec![op; if self.bytes > BYTES_MAX { 0 } else { size }].into());
            }
            20..26 => {
                end.read();
            }
            26 => while end.read() {},
            27 => end.memory = Memory::Scarce,
            28 => end.memory = Memory::Plenty,
            29 => end.drop_reader(),
            _ if of_caller => {}
            30 => {
                let answer = vec![op; choices.byte().into()];
                end.end(match choices.below(3) {
                    0 => Last::Nil,
                    1 => Last::Answer(answer.into()),
                    _ => Last::Error,
                });
            }
            _ => end.give_up(),
        }
    }

    /// Loses, repeats or swaps frames that one end has sent.
    fn fault(&mut self, of_caller: bool, choices: &mut Choices<'_>) {
        let (caller, handler) = (&mut self.caller, &mut self.handler);
        let Some(end) = (if of_caller { Some(caller) } else { handler.as_mut() }) else { return };
        if self.way == Way::Good || end.out.is_empty() {
            return;
        }
        let (kind, place) = (choices.below(3), choices.below(end.out.len()));
        match kind {
            0 => {
                end.out.remove(place);
            }
            1 => {
                // One of the two counts, and which one is not known yet.
                let again = end.out.get_mut(place).map(|frame| {
                    (frame.items, frame.credits) = (0, 0);
                    frame.clone()
                });
                end.out.extend(again);
            }
            _ => end.out.swap(0, place),
        }
    }

    fn reach_handler(&mut self, room: Room) {
        if self.opening.take().is_some() {
            let mut handler = StreamEnd::new(End::Handler, self.terms);
            handler.out.push_back(granting(Op::AckMux, self.capabilities, self.terms.granted));
            self.handler = Some(handler);
            return;
        }
        if let (Some(handler), Some(frame)) = (&mut self.handler, self.caller.out.pop_front()) {
            let frame = Frame::decode(&frame.bytes, self.capabilities).expect("what is sent can be decoded");
            handler.on_frame(&frame, room);
            self.overflown |= room == Room::None;
        }
    }

    fn reach_caller(&mut self, room: Room) {
        if let Some(frame) = self.handler.as_mut().and_then(|handler| handler.out.pop_front()) {
            let frame = Frame::decode(&frame.bytes, self.capabilities).expect("what is sent can be decoded");
            self.caller.on_frame(&frame, room);
            self.overflown |= room == Room::None;
        }
    }

    /// All that is under way arrives, and all that waits is read.
    fn run_out(&mut self) {
        loop {
            while self.opening.is_some() || (self.handler.is_some() && !self.caller.out.is_empty()) {
                self.reach_handler(Room::Enough);
            }
            while self.handler.as_ref().is_some_and(|handler| !handler.out.is_empty()) {
                self.reach_caller(Room::Enough);
            }
            let mut moved = !self.caller.out.is_empty();
            for end in [Some(&mut self.caller), self.handler.as_mut()].into_iter().flatten() {
                while end.read() {
                    moved = true;
                }
                moved |= !end.out.is_empty();
            }
            if !moved {
                return;
            }
        }
    }

    fn check(&self) {
        self.caller.check();
        let Some(handler) = &self.handler else { return };
        handler.check();
        check_direction(&self.caller, handler, self.terms.window);
        check_direction(handler, &self.caller, self.caller.window);
        let ends = [&self.caller, handler];
        if self.way == Way::Good && !self.overflown {
            for end in ends {
                let violated = matches!(end.why(), Some(Over::Because(Why::Violation(_))));
                assert!(!violated, "the ends find fault with each other: {:?}", end.why());
            }
        }
    }

    /// When nothing is under way and all was read, each end has got what the other has sent, up to some place; both
    /// know of the end, or both can go on.
    fn check_flow(&self) {
        let Some(handler) = &self.handler else { return };
        for (sender, receiver) in [(&self.caller, handler), (handler, &self.caller)] {
            assert!(sender.sent.starts_with(&receiver.kept), "what comes is a beginning of what was sent");
        }
        if self.way == Way::Bad {
            return;
        }
        assert_eq!(self.caller.is_over, handler.is_over, "one end has not heard of the end");
        let directions = [(&self.caller, handler), (handler, &self.caller)];
        for (sender, receiver) in directions {
            let flows = sender.may_send() && receiver.reads();
            assert!(!flows || !sender.is_waiting(), "the ends wait for each other: {sender:?}");
        }
    }
}

/// What one end sends, and what the other gets of it.
fn check_direction(sender: &StreamEnd, receiver: &StreamEnd, window: u32) {
    if let Some(last) = receiver.kept.len().checked_sub(1) {
        assert_eq!(sender.sent.get(last), receiver.kept.last(), "an item is lost, comes twice or before another");
    }
    let ended_well = receiver.told == Some(Over::Finished);
    assert!(!ended_well || receiver.read == sender.sent.len(), "items are missing before a good end");
    let under_way: u32 = sender.out.iter().map(|frame| frame.items).sum();
    let coming_back: u32 = receiver.out.iter().map(|frame| frame.credits).sum();
    if !sender.is_over && receiver.reads() {
        let account = sender.credits + under_way + receiver.unread() + coming_back;
        assert!(account <= window, "{account} credits of a window of {window}");
    }
}

/// A frame of the opening, with the first credits of the other end.
fn granting(op: Op, capabilities: Capabilities, granted: u32) -> Wire {
    let trailer = Trailer { credits: (capabilities == Capabilities::OWN).then_some(granted), ..Trailer::default() };
    let header = Header::new(op, MUX, Flags::CRC);
    Wire::new(header, PayloadBuf::with_capacity(0), &trailer, Carries::Credits(granted))
}

/// Some times what one direction may be ahead.
const BYTES_MAX: usize = 8 << 20;

//! What one end of a stream sends.

use crate::wire::{Flags, Header, Op};

/// Which end of a stream: the node that made the call, or the one whose handler serves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Caller,
    Handler,
}

impl End {
    fn item(self) -> Op {
        match self {
            Self::Caller => Op::MuxClientMsg,
            Self::Handler => Op::MuxServerMsg,
        }
    }

    fn credits(self) -> Op {
        match self {
            Self::Caller => Op::UnblockSrvMux,
            Self::Handler => Op::UnblockClMux,
        }
    }

    fn disconnect(self) -> Op {
        match self {
            Self::Caller => Op::DisconnectServerMux,
            Self::Handler => Op::DisconnectClientMux,
        }
    }
}

/// The numbers of the frames that one end of a stream sends, and whether more may follow.
///
/// ```text
///            on_sent        on_finish: the caller's items have ended
///   Opening -------> Open ------------------------------------------> Finished
///                      |
///                      +--------------------------------------------> Over
///                           on_end: the handler has ended
/// ```
///
/// Items, credits, pings and ends of one end share a count. Whoever drives this queues each frame before it asks for the
/// next one, so that the order on the wire is that of the numbers.
#[derive(Debug)]
pub(crate) struct Sending {
    end: End,
    mux: u64,
    crc: Flags,
    next_seq: u32,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The frame that opens the stream is not queued yet, and the remote knows of nothing.
    Opening,
    Open,
    /// Items have ended; credits and pings go on.
    Finished,
    /// Nothing is sent any more.
    Over,
}

/// Whether a payload is there to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    Empty,
    Some,
}

impl Sending {
    /// The first number, 0, was that of the frame that opened the stream or answered to that.
    pub(crate) fn new(end: End, mux: u64, crc: Flags) -> Self {
        let state = match end {
            End::Caller => State::Opening,
            End::Handler => State::Open,
        };
        Self { end, mux, crc, next_seq: 1, state }
    }

    pub(crate) fn mux(&self) -> u64 {
        self.mux
    }

    /// The frame that opens the stream was queued.
    pub(crate) fn on_sent(&mut self) {
        debug_assert_eq!(self.state, State::Opening, "a stream is opened once");
        self.state = State::Open;
    }

    /// An item. An empty one says so: v1 takes no payload for none at all, and does not count it.
    pub(crate) fn on_item(&mut self, size: Size) -> Option<Header> {
        (self.state == State::Open).then(|| self.numbered(self.end.item(), zero_if_empty(size)))
    }

    /// The caller's items have ended.
    pub(crate) fn on_finish(&mut self) -> Option<Header> {
        debug_assert_eq!(self.end, End::Caller, "a handler's items end with its call");
        if self.state != State::Open {
            return None;
        }
        self.state = State::Finished;
        Some(self.numbered(self.end.item(), Flags::EOF))
    }

    /// Credits for the other end.
    pub(crate) fn on_credits(&mut self) -> Option<Header> {
        self.is_known().then(|| self.numbered(self.end.credits(), Flags::NONE))
    }

    pub(crate) fn on_ping(&mut self) -> Option<Header> {
        self.is_known().then(|| self.numbered(Op::Ping, Flags::NONE))
    }

    /// The handler has ended, so the call has. `flags` tells an error from an answer.
    pub(crate) fn on_end(&mut self, flags: Flags) -> Option<Header> {
        debug_assert_eq!(self.end, End::Handler, "a caller cancels");
        if self.state == State::Over {
            return None;
        }
        self.state = State::Over;
        Some(self.numbered(Op::MuxServerMsg, Flags::EOF | flags))
    }

    /// The frame that ends the call without a word, whose number nobody looks at.
    pub(crate) fn disconnect(&self) -> Option<Header> {
        (self.state != State::Opening).then(|| Header::new(self.end.disconnect(), self.mux, self.crc))
    }

    /// The same, of a handler's end that has not told its end yet: nothing follows, not even that it found fault with
    /// what still comes.
    pub(crate) fn abandon(&mut self) -> Option<Header> {
        let header = self.disconnect().filter(|_| self.is_known())?;
        self.state = State::Over;
        Some(header)
    }

    /// Whether the remote knows of the call, and goes on with it.
    pub(crate) fn is_known(&self) -> bool {
        !matches!(self.state, State::Opening | State::Over)
    }

    fn numbered(&mut self, op: Op, flags: Flags) -> Header {
        let seq = self.next_seq;
        self.next_seq = seq.wrapping_add(1);
        Header { seq, ..Header::new(op, self.mux, self.crc | flags) }
    }
}

/// The flag by which v1 tells an empty payload from none.
pub(crate) fn zero_if_empty(size: Size) -> Flags {
    match size {
        Size::Empty => Flags::ZERO,
        Size::Some => Flags::NONE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(crc: Flags) -> Sending {
        let mut caller = Sending::new(End::Caller, 7, crc);
        caller.on_sent();
        caller
    }

    fn seqs(headers: impl IntoIterator<Item = Option<Header>>) -> Vec<Option<(Op, u32)>> {
        headers.into_iter().map(|header| header.map(|header| (header.op, header.seq))).collect()
    }

    #[test]
    fn all_frames_of_one_end_share_a_count_from_one() {
        let mut caller = open(Flags::CRC);
        let sent = [caller.on_item(Size::Some), caller.on_credits(), caller.on_ping(), caller.on_finish()];
        let wanted = [(Op::MuxClientMsg, 1), (Op::UnblockSrvMux, 2), (Op::Ping, 3), (Op::MuxClientMsg, 4)];
        assert_eq!(seqs(sent), wanted.map(Some));
        let mut handler = Sending::new(End::Handler, 7, Flags::CRC);
        let sent = [handler.on_credits(), handler.on_item(Size::Some), handler.on_end(Flags::NONE)];
        assert_eq!(seqs(sent), [(Op::UnblockClMux, 1), (Op::MuxServerMsg, 2), (Op::MuxServerMsg, 3)].map(Some));
    }

    #[test]
    fn after_its_items_a_caller_grants_and_pings_and_after_its_end_a_handler_sends_nothing() {
        let mut caller = open(Flags::NONE);
        assert_eq!(caller.on_finish().unwrap().flags, Flags::EOF);
        assert_eq!((caller.on_item(Size::Some), caller.on_finish()), (None, None));
        assert!(caller.on_credits().is_some() && caller.on_ping().is_some());
        let mut handler = Sending::new(End::Handler, 7, Flags::NONE);
        assert_eq!(handler.on_end(Flags::ERROR).unwrap().flags, Flags::EOF | Flags::ERROR);
        assert_eq!(
            (handler.on_item(Size::Some), handler.on_credits(), handler.on_end(Flags::NONE)),
            (None, None, None)
        );
    }

    #[test]
    fn an_empty_item_says_that_it_is_one() {
        let mut caller = open(Flags::CRC);
        assert_eq!(caller.on_item(Size::Empty).unwrap().flags, Flags::CRC | Flags::ZERO);
        assert_eq!(caller.on_item(Size::Some).unwrap().flags, Flags::CRC);
    }

    #[test]
    fn each_end_disconnects_the_other() {
        assert_eq!(open(Flags::CRC).disconnect(), Some(Header::new(Op::DisconnectServerMux, 7, Flags::CRC)));
        let handler = Sending::new(End::Handler, 7, Flags::CRC);
        assert_eq!(handler.disconnect(), Some(Header::new(Op::DisconnectClientMux, 7, Flags::CRC)));
    }

    #[test]
    fn a_remote_that_was_sent_nothing_is_told_nothing() {
        let mut caller = Sending::new(End::Caller, 7, Flags::CRC);
        assert_eq!((caller.on_ping(), caller.on_item(Size::Some), caller.disconnect()), (None, None, None));
    }
}

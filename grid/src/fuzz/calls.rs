//! Single requests between the table of a caller and a server, over a way that may lose, repeat and swap frames.

use std::collections::{HashSet, VecDeque};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::choices::Choices;
use super::frame::with_checksum;
use crate::error::LinkError;
use crate::proto::{Outcome, Reply, ServerCall, cancellation, outcome};
use crate::rt::{Cancelled, Ended, Met, NoSlot, Table, Wakes};
use crate::text::bounded;
use crate::wire::{Capabilities, Flags, Frame, Header, Op, PayloadBuf, RefusalReason, Subroute, Trailer};

/// Makes calls, lets a server answer them, and lets their frames come or not, also again and to the wrong call. Each
/// call ends once, with the first thing that was said to it, and with nothing that was said to another.
pub fn calls(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let mut net = Net::new(choices.byte());
    while !choices.is_over() {
        net.step(&mut choices);
        assert_eq!(net.table.in_flight(), net.calls.len(), "what is in flight is counted");
    }
    net.close();
    while let Some(call) = net.calls.pop() {
        assert!(net.poll(&call), "a call outlives its link");
    }
    assert_eq!(net.table.in_flight(), 0);
}

struct Net {
    table: Table,
    wakes: Wakes,
    peer: Capabilities,
    now: Instant,
    calls: Vec<Call>,
    /// All mux ids that were ever given out.
    seen: HashSet<u64>,
    requests: VecDeque<Bytes>,
    serving: Vec<ServerCall>,
    answers: VecDeque<Bytes>,
    closed: bool,
}

/// A call whose maker has not heard of its end.
struct Call {
    mux: u64,
    deadline: Option<Instant>,
    end: Option<End>,
}

/// How a call has ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Answer(Bytes),
    Error(Bytes),
    Refused(RefusalReason, Box<str>),
    Violation,
    Deadline,
    Link,
}

impl Net {
    fn new(settings: u8) -> Self {
        let peer = if settings & 1 == 0 { Capabilities::OWN } else { Capabilities::V1 };
        // The last few generations before they wrap.
        let seed = if settings & 2 == 0 { 1 } else { u32::MAX - 2 };
        Self {
            table: Table::new(1, CALLS_MAX, seed),
            wakes: Wakes::default(),
            peer,
            now: Instant::now(),
            calls: Vec::new(),
            seen: HashSet::new(),
            requests: VecDeque::new(),
            serving: Vec::new(),
            answers: VecDeque::new(),
            closed: false,
        }
    }

    fn step(&mut self, choices: &mut Choices<'_>) {
        match choices.byte() & 0x0f {
            0 | 1 => self.begin(choices),
            2 | 3 => {
                if let Some(request) = take(&mut self.requests, choices) {
                    self.serve(&request);
                }
            }
            4..7 if !self.serving.is_empty() => self.answer(choices),
            7 | 8 => {
                if let Some(answer) = take(&mut self.answers, choices) {
                    self.deliver(&answer);
                }
            }
            9 | 10 if !self.calls.is_empty() => {
                let call = self.calls.swap_remove(choices.below(self.calls.len()));
                if !self.poll(&call) {
                    self.calls.push(call);
                }
            }
            11 if !self.calls.is_empty() => {
                let call = self.calls.swap_remove(choices.below(self.calls.len()));
                let wanted = if call.end.is_none() { Cancelled::Waiting } else { Cancelled::HadEnded };
                assert_eq!(self.table.cancel(call.mux), wanted);
                let header = cancellation(call.mux, self.peer, Flags::CRC);
                assert_eq!(header.is_some(), self.peer == Capabilities::OWN);
            }
            12 => self.let_pass(Duration::from_millis(choices.byte().into())),
            13 => self.any_frame(choices),
            14 if choices.byte() == 0xff => self.close(),
            15 => {
                self.answers.pop_front();
            }
            _ => {}
        }
    }

    fn begin(&mut self, choices: &mut Choices<'_>) {
        let millis = choices.byte();
        let deadline = (millis > 0).then(|| self.now + Duration::from_millis(millis.into()));
        let mux = match self.table.insert(deadline, Waker::noop().clone()) {
            Ok(mux) => mux,
            Err(NoSlot::Full(_)) => return assert_eq!(self.calls.len(), CALLS_MAX, "there is room for a call"),
            Err(NoSlot::Closed(_)) => return assert!(self.closed),
        };
        assert!(!self.closed && self.calls.len() < CALLS_MAX);
        assert!(mux != 0 && self.seen.insert(mux), "a mux id comes twice");
        self.calls.push(Call { mux, deadline, end: None });
        // The others mean nothing in a request, and must not come back in its answer.
        let more = choices.of(&[Flags::NONE, Flags::ERROR, Flags::ZERO, Flags::ERROR | Flags::STATELESS]);
        let head = Header::new(Op::Request, mux, Flags::EOF | Flags::CRC | more);
        let head = Header { deadline_ms: millis.into(), ..head };
        let subroute = choices.is_so().then(|| Subroute::new("a").id(head.handler));
        let payload = PayloadBuf::copy_from(&mux.to_be_bytes());
        self.requests.push_back(bytes_of(payload.seal(head, &Trailer::default(), subroute).as_bytes()));
    }

    fn serve(&mut self, request: &Bytes) {
        let frame = Frame::decode(request, self.peer).expect("what is sent can be decoded");
        let call = ServerCall::on_request(&frame, Flags::CRC);
        assert!(call.is_eof() && call.mux() == frame.head.mux);
        assert_eq!(call.timeout().map_or(0, |timeout| timeout.as_millis()), frame.head.deadline_ms.into());
        self.serving.push(call);
    }

    fn answer(&mut self, choices: &mut Choices<'_>) {
        let call = self.serving.swap_remove(choices.below(self.serving.len()));
        let own = call.mux().to_be_bytes();
        let counts = self.peer == Capabilities::OWN;
        let payload = || PayloadBuf::copy_from(&own);
        let kind = choices.below(6);
        let frame = match kind {
            0 => call.on_reply(Reply::Answer(payload()), counts),
            1 => call.on_reply(Reply::Error(payload()), counts),
            2 => call.on_reply(Reply::Nil, counts),
            3 => call.on_reply(Reply::Failed(RefusalReason::Panicked, "it has".into()), counts),
            4 => call.on_reply(Reply::Answer(PayloadBuf::new()), counts),
            _ => call.on_refuse(RefusalReason::Overloaded, "busy", counts),
        };
        let decoded = Frame::decode(frame.as_bytes(), self.peer).expect("what is sent can be decoded");
        assert_eq!((decoded.subroute, decoded.head.mux), (None, u64::from_be_bytes(own)));
        match outcome(&decoded).expect("an answer ends a call") {
            Outcome::Answer(answer) => {
                assert!((kind == 0 && answer == own) || (matches!(kind, 2 | 4) && answer.is_empty()))
            }
            Outcome::Error(error) => assert!((kind == 1 && error == own) || (kind == 3 && !counts)),
            Outcome::Refused(reason, _) if kind == 3 => assert_eq!(reason, RefusalReason::Panicked),
            Outcome::Refused(reason, _) => assert!(kind == 5 && (reason == RefusalReason::Overloaded || !counts)),
            Outcome::Violation(what) => panic!("{what}"),
        }
        self.answers.push_back(bytes_of(frame.as_bytes()));
    }

    /// A frame of the server: of a call that waits it is the end, and to others it means nothing.
    fn deliver(&mut self, message: &Bytes) {
        let Ok(frame) = Frame::decode(message, self.peer) else { return };
        let met = self.table.on_frame(&frame, &message.clone().into(), self.peer, &mut self.wakes);
        self.wakes.wake();
        let call = self.calls.iter_mut().find(|call| call.mux == frame.head.mux && call.end.is_none());
        assert_eq!(matches!(met, Met::Call), call.is_some(), "{frame:?}");
        if let Some(call) = call {
            call.end = outcome(&frame).map(|outcome| match outcome {
                Outcome::Answer(payload) => End::Answer(bytes_of(payload)),
                Outcome::Error(payload) => End::Error(bytes_of(payload)),
                Outcome::Refused(reason, text) => End::Refused(reason, bounded(String::from_utf8_lossy(text))),
                Outcome::Violation(_) => End::Violation,
            });
        }
    }

    /// A frame that nobody has sent, for one of the calls or none.
    fn any_frame(&mut self, choices: &mut Choices<'_>) {
        let place = choices.byte();
        let mux = match self.calls.get(usize::from(place)) {
            Some(call) => call.mux,
            None => u64::from(choices.u32()) << 24 | u64::from(place & 7),
        };
        let op = choices.of(&[
            Op::Response,
            Op::MuxServerMsg,
            Op::MuxConnectError,
            Op::DisconnectClientMux,
            Op::AckMux,
            Op::Pong,
        ]);
        let flags = [Flags::NONE, Flags::ERROR, Flags::EOF, Flags::ZERO, Flags::EOF | Flags::ERROR];
        let head = Header { seq: choices.u32(), ..Header::new(op, mux, choices.of(&flags) | Flags::CRC) };
        let payload = PayloadBuf::copy_from(choices.some_bytes());
        let frame = payload.seal(Header { flags: head.flags.without(Flags::CRC), ..head }, &Trailer::default(), None);
        self.deliver(&bytes_of(&with_checksum(frame.as_bytes())));
    }

    fn let_pass(&mut self, time: Duration) {
        self.now += time;
        if self.table.next_deadline().is_none_or(|next| next > self.now) {
            let late =
                self.calls.iter().any(|call| call.end.is_none() && call.deadline.is_some_and(|at| at <= self.now));
            assert!(!late, "a deadline that nobody waits for");
        }
        assert!(self.table.expire(self.now).is_empty(), "there are no streams");
        for call in &mut self.calls {
            if call.end.is_none() && call.deadline.is_some_and(|deadline| deadline <= self.now) {
                call.end = Some(End::Deadline);
            }
        }
    }

    fn close(&mut self) {
        self.closed = true;
        self.table.close(&LinkError::Closed("here".into()));
        for call in &mut self.calls {
            call.end.get_or_insert(End::Link);
        }
    }

    /// Whether the call has ended, and if so has vacated its slot.
    fn poll(&self, call: &Call) -> bool {
        let end = match self.table.poll(call.mux, &Context::from_waker(Waker::noop())) {
            Poll::Pending => None,
            Poll::Ready(ended) => Some(match ended {
                Ended::Answer(payload) => End::Answer(payload),
                Ended::Error(payload) => End::Error(payload),
                Ended::Refused(refusal) => End::Refused(refusal.reason(), refusal.to_string().into()),
                Ended::Violation(_) => End::Violation,
                Ended::Deadline => End::Deadline,
                Ended::Link(_) => End::Link,
                Ended::Cancelled => panic!("nobody cancels"),
            }),
        };
        assert_eq!(end, call.end, "a call ends with the first that was said to it");
        end.is_some()
    }
}

/// Takes one of the frames that are under way, or leaves it there as well.
fn take(frames: &mut VecDeque<Bytes>, choices: &mut Choices<'_>) -> Option<Bytes> {
    let choice = choices.byte();
    let place = usize::from(choice & 0x7f) % frames.len().max(1);
    if choice & 0x80 == 0 { frames.remove(place) } else { frames.get(place).cloned() }
}

fn bytes_of(slice: &[u8]) -> Bytes {
    Bytes::copy_from_slice(slice)
}

/// Few, so that slots are used again and the limit is met.
const CALLS_MAX: usize = 4;

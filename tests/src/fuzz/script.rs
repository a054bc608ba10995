//! What the peer of the node does, as a fuzzer chooses.

use std::collections::HashMap;
use std::time::Duration;

use rmpv::Value;

use super::calls::{self, Plan};
use super::choices::Choices;
use super::handlers::{ROUTE, VARIES};
use super::stage::{Extras, Scene, Stage};
use super::wire::Wire;
use crate::probe::ECHO;
use crate::raw::{Frame, Side, WsFrame, encode_value, flag, map, merge, op};

/// A peer that says any bytes from the first one on; from the answer to its request on, to a node that dials.
pub fn bytes(input: &[u8]) {
    let mut choices = Choices::new(input);
    let scene = scene(&mut choices);
    let piece = 1 + usize::from(choices.byte());
    let rest = choices.rest();
    scene.play(|mut stage: Stage| async move {
        let mut wire = stage.stream().await;
        stage.answer_upgrade(&mut wire).await;
        for piece in rest.chunks(piece.max(rest.len() / PIECES_MAX)) {
            wire.send(piece).await;
            wire.flush().await;
            tokio::task::yield_now().await;
        }
        // What it says to a stranger is for the scripted peers of other tests to judge.
        wire.flush().await;
        tokio::time::sleep(Duration::from_millis(1)).await;
        stage.check();
        stage
    });
}

/// A peer that makes a good link, and then sends frames and messages of which no rule is certain, while the node calls it.
pub fn node(input: &[u8]) {
    let mut choices = Choices::new(input);
    let scene = scene(&mut choices);
    scene.play(|mut stage: Stage| async move {
        let mut peer = Peer::new(stage.link().await, choices.is_so());
        if scene.extras.is_warm() {
            peer.warm().await;
        }
        for _ in 0..STEPS_MAX {
            if choices.is_over() {
                break;
            }
            if peer.wire.is_over {
                drop(peer.wire);
                peer = Peer::new(stage.link().await, choices.is_so());
            }
            peer.step(&mut stage, &mut choices).await;
            stage.check();
        }
        peer.hear().await;
        if scene.extras.leaves() {
            let ((), ()) = tokio::join!(biased; stage.shut_down(), peer.hear());
        }
        stage
    });
}

fn scene(choices: &mut Choices<'_>) -> Scene {
    let settings = choices.byte();
    Scene {
        side: if settings & 1 == 0 { Side::Accepts } else { Side::Dials },
        caps: match settings & 6 {
            0 => Some(31),
            2 => None,
            4 => Some((settings >> 3).into()),
            _ => Some(u64::MAX),
        },
        scheme: if settings & 0x80 == 0 { "http" } else { "https" },
        // The same bits as the number that a peer announces, where it announces any.
        extras: Extras(if settings & 6 == 4 { 0 } else { settings >> 3 & 0x0f }),
    }
}

struct Peer {
    wire: Wire,
    /// Answers the pings of the node.
    polite: bool,
    /// Mux ids that mean something, of the node's calls behind those of our own.
    muxes: Vec<u64>,
    /// The number of the next frame of each.
    seqs: HashMap<u64, u32>,
}

impl Peer {
    fn new(wire: Wire, polite: bool) -> Self {
        Self { wire, polite, muxes: vec![0, 1, 2, 3, 4], seqs: HashMap::new() }
    }

    /// Calls what answers at once until the node knows it.
    async fn warm(&mut self) {
        for number in 0..WARM_CALLS {
            for handler in [ECHO, VARIES] {
                let mux = WARM_MUX + 2 * number + u64::from(handler == VARIES);
                self.wire.send_message(Frame::request(mux, handler.into(), "warm").encode()).await;
            }
            self.wire.receive().await;
        }
    }

    async fn step(&mut self, stage: &mut Stage, choices: &mut Choices<'_>) {
        match choices.byte() & 0x0f {
            0..5 => {
                let message = self.message(choices);
                self.wire.send_message(message).await;
            }
            5 => {
                let elements: Vec<_> = (0..1 + choices.below(6)).map(|_| self.message(choices)).collect();
                let claimed = if choices.is_so() { choices.u32() } else { u32::try_from(elements.len()).unwrap_or(0) };
                self.wire.send_message(merge(claimed, &elements)).await;
            }
            6 => {
                let first = choices.byte();
                let mask = choices.byte() == 0xff;
                let payload = some_payload(choices);
                let (fin, rsv) = (first >> 7 == 0, if first & 0x70 == 0x70 { 1 } else { 0 });
                let frame = WsFrame { fin, rsv, opcode: first & 15, mask: mask.then_some([1; 4]), payload };
                self.wire.send_ws(frame).await;
            }
            7 if choices.byte() == 0xff => self.wire.send(choices.some_bytes()).await,
            7 | 8 => self.hear().await,
            9 => {
                let time = Duration::from_millis(choices.of(&[0, 1, 30, 1_000, 5_000, 10_000, 16_000]));
                self.hear().await;
                tokio::time::sleep(time).await;
            }
            10 | 11 => {
                let plan = Plan::new(choices);
                stage.calls.spawn(calls::make(stage.connection(), plan));
                self.hear().await;
            }
            12 | 13 => self.answer(choices).await,
            14 if choices.byte() == 0xff => self.wire.is_over = true,
            _ => self.storm(choices).await,
        }
    }

    /// Reads what the node has said, and remembers of which calls.
    async fn hear(&mut self) {
        for frame in self.wire.receive().await {
            match frame.op {
                op::REQUEST | op::CONNECT_MUX if self.muxes.len() < MUXES_MAX => self.muxes.push(frame.mux),
                op::PING if self.polite => self.wire.send_message(pong(&frame).encode()).await,
                _ => {}
            }
        }
    }

    fn mux(&self, choices: &mut Choices<'_>) -> u64 {
        choices.of(&self.muxes)
    }

    fn next_seq(&mut self, mux: u64) -> u32 {
        let seq = self.seqs.entry(mux).or_default();
        *seq = seq.wrapping_add(1);
        seq.wrapping_sub(1)
    }

    /// Says something good to a call of the node.
    async fn answer(&mut self, choices: &mut Choices<'_>) {
        let mux = self.mux(choices);
        let (code, flags) = choices.of(&[
            (op::RESPONSE, flag::EOF),
            (op::ACK_MUX, 0),
            (op::MUX_SERVER_MSG, 0),
            (op::MUX_SERVER_MSG, flag::EOF),
            (op::UNBLOCK_CL_MUX, 0),
            (op::MUX_CLIENT_MSG, 0),
        ]);
        let seq = self.next_seq(mux);
        let frame = Frame { seq, ..Frame::new(code, mux).flags(flags).payload(some_payload(choices)) };
        let frame = if choices.is_so() { credits(frame, choices.u32()) } else { frame };
        self.wire.send_message(frame.encode()).await;
    }

    /// Some message of one frame, most of the time one that is well formed.
    fn message(&mut self, choices: &mut Choices<'_>) -> Vec<u8> {
        let frame = self.frame(choices);
        let cut = choices.byte();
        let mut bytes = frame.encode();
        if cut >= 0xe0 {
            bytes.truncate(usize::from(choices.byte()));
        }
        bytes
    }

    fn frame(&mut self, choices: &mut Choices<'_>) -> Frame {
        let code = choices.byte();
        let code = if code < 0xf0 { 1 + code % 17 } else { code };
        let (mux, form) = (self.mux(choices), choices.byte());
        let flags = choices.byte() & (flag::EOF | flag::STATELESS | flag::ERROR | flag::ZERO);
        let frame = Frame {
            handler: choices.of(&HANDLERS),
            seq: if form & 1 == 0 { self.next_seq(mux) } else { choices.u32() },
            deadline_ms: if form & 2 == 0 { 0 } else { choices.u32() },
            payload: some_payload(choices),
            ..Frame::new(code, mux).flags(flags)
        };
        let frame = if form & 0x20 == 0 { frame } else { frame.bare() };
        match form >> 2 & 7 {
            0 => credits(frame, choices.u32()),
            1 => frame.trailer(&Value::Map(vec![(2.into(), Value::Map(vec![("k".into(), "v".into())]))])),
            2 => Frame { trailer: choices.some_bytes().to_vec(), ..frame.flags(flag::TRAILER) },
            3 => frame.under(ROUTE),
            _ => frame,
        }
    }

    /// The same for many calls at once.
    async fn storm(&mut self, choices: &mut Choices<'_>) {
        let frame = self.frame(choices);
        for call in 0..u64::from(choices.byte() % STORM_MAX) {
            self.wire.send_message(Frame { mux: frame.mux.wrapping_add(call), ..frame.clone() }.encode()).await;
        }
    }
}

fn credits(frame: Frame, credits: u32) -> Frame {
    frame.trailer(&Value::Map(vec![(4.into(), credits.into())]))
}

fn pong(ping: &Frame) -> Frame {
    let body = map([("nf", false.into()), ("e", Value::Nil), ("t", ping.field("t").unwrap_or(Value::Nil))]);
    Frame { op: op::PONG, ..ping.clone() }.payload(body)
}

/// Bytes, many of the same, or what a method takes.
fn some_payload(choices: &mut Choices<'_>) -> Vec<u8> {
    let kind = choices.byte();
    let row = |id: u64| {
        let kind = Value::from("Plain");
        Value::Map(vec![("id".into(), id.into()), ("name".into(), "row".into()), ("kind".into(), kind)])
    };
    match kind {
        0..0x80 => choices.bytes(kind.into()).to_vec(),
        0x80..0xc0 => vec![kind; usize::from(choices.byte()) * choices.of(&[1, 10, 50])],
        0xc0..0xd0 => encode_value(&row(kind.into())),
        0xd0..0xe0 => map([("name", "x".into()), ("count", 3.into())]),
        0xe0..0xf0 => {
            let rows = Value::Array(vec![row(1), row(2)]);
            map([("key", "k".into()), ("bytes", Value::Binary(vec![1])), ("rows", rows)])
        }
        _ => encode_value(&kind.into()),
    }
}

const HANDLERS: [u32; 16] = [10, 11, 12, 13, 20, 21, 22, 0x701, 0x702, 0x703, 0x704, 0x705, 0x706, 0, 0xff, 0xffff];
/// So that an input takes not much longer than others.
const STEPS_MAX: usize = 256;
const PIECES_MAX: usize = 64;
/// Far more calls than the node lets in.
const STORM_MAX: u8 = 200;
const MUXES_MAX: usize = 64;
/// More than it takes to know that a handler is quick.
const WARM_CALLS: u64 = 30;
/// Mux ids that no other calls have.
const WARM_MUX: u64 = 1 << 40;

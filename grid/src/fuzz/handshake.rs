//! The bodies of handshakes, pings and refusals, and the judgement of first messages.

use std::time::{Duration, UNIX_EPOCH};

use super::choices::Choices;
use crate::proto::{Acceptor, Remote, dialled, is_guest};
use crate::wire::{
    Capabilities, Connect, ConnectResponse, Flags, Frame, Header, MuxConnectError, Op, PayloadBuf, Ping, Pong, Trailer,
    WireTime, local_dials,
};

/// What was read is the same when it is written and read again.
macro_rules! comes_back {
    ($kind:ident, $body:expr) => {
        if let Ok(read) = $kind::decode($body) {
            let mut written = Vec::new();
            read.put(&mut written);
            assert_eq!($kind::decode(&written).as_ref(), Ok(&read));
        }
    };
}

/// Reads any bytes as each of the bodies, or judges them as what a peer says first.
pub fn handshake(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let kind = choices.byte();
    let body = choices.rest();
    match kind % 9 {
        0 => comes_back!(Connect, body),
        1 => comes_back!(ConnectResponse, body),
        2 => comes_back!(Ping, body),
        3 => comes_back!(Pong, body),
        4 => comes_back!(MuxConnectError, body),
        5 => accepts(body),
        6 => accepts(&first_message(Op::Connect, body)),
        7 => dials(body),
        _ => dials(&first_message(Op::ConnectResponse, body)),
    }
}

fn first_message(op: Op, body: &[u8]) -> Vec<u8> {
    let frame = PayloadBuf::copy_from(body).seal(Header::new(op, 0, Flags::NONE), &Trailer::default(), None);
    frame.as_bytes().to_vec()
}

fn accepts(message: &[u8]) {
    let (near, far) = if local_dials(ONE, OTHER) { (OTHER, ONE) } else { (ONE, OTHER) };
    for (local, dials) in [(near, far), (far, near)] {
        let now = WireTime::from(UNIX_EPOCH + Duration::from_secs(NOW));
        let known = |name: &str| [ONE, OTHER].contains(&name) || is_guest(name);
        let acceptor = Acceptor { local, now, clock_difference_max: CLOCK_DIFFERENCE_MAX, known };
        let Ok(claimed) = acceptor.on_message(message) else { continue };
        let claim = claimed.claim.clone();
        assert!(known(&claim.name) && *claim.name != *local, "a stranger is let in");
        let is_drawn = claim.name.len() == "guest://".len() + 32 && claim.name.chars().skip(8).all(is_hex);
        assert!(!is_guest(&claim.name) || is_drawn, "a guest gives itself the name {}", claim.name);
        let frame = Frame::decode(message, Capabilities::V1).expect("it was read before");
        let connect = Connect::decode(frame.payload).expect("it was read before");
        assert!(connect.time.abs_difference(now) <= CLOCK_DIFFERENCE_MAX, "a wrong clock is let in");
        assert_eq!((frame.head.op, connect.token), (Op::Connect, &*claim.token));
        let good = claim.token.len().is_multiple_of(2);
        match claimed.on_verdict(if good { Ok(()) } else { Err("odd".to_owned()) }) {
            Ok(acceptance) => {
                assert!(good && acceptance.name == claim.name);
                assert!(is_guest(&claim.name) || (&*claim.name == dials && local == near), "{claim:?} to {local}");
            }
            Err(reason) => assert!(!reason.is_empty(), "a reason is sent, and none means that all is well"),
        }
    }
}

fn is_hex(digit: char) -> bool {
    digit.is_ascii_digit() || ('a'..='f').contains(&digit)
}

fn dials(message: &[u8]) {
    if let Ok(Ok(remote)) = dialled(message) {
        let Remote { id, capabilities, message_bytes_max } = remote;
        let response = ConnectResponse { id, accepted: true, rejected_reason: "", capabilities, message_bytes_max };
        let mut body = Vec::new();
        response.put(&mut body);
        assert_eq!(dialled(&first_message(Op::ConnectResponse, &body)), Ok(Ok(remote)));
    }
}

const CLOCK_DIFFERENCE_MAX: Duration = Duration::from_secs(300);
const ONE: &str = "http://127.0.0.1:9301";
const OTHER: &str = "http://127.0.0.1:9302";
/// When the golden vectors were taken, about.
const NOW: u64 = 1_795_366_595;

//! The two messages with which a link begins.

use std::fmt;
use std::time::Duration;

use crate::text::bounded;
use crate::wire::{
    Capabilities, Connect, ConnectResponse, DecodeError, Frame, InstanceId, MessageBytes, Op, WireTime, local_dials,
};

/// What a dialling node says of itself, for whoever judges its token.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Claim {
    /// The name it gives itself: a peer's URL, or `guest://..` for a guest.
    pub name: Box<str>,
    /// Its token.
    pub token: Box<str>,
}

impl fmt::Debug for Claim {
    /// Without the token, which is not for logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The accepting side's view of the world, against which a first message is held.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Acceptor<'a, K> {
    pub(crate) local: &'a str,
    pub(crate) now: WireTime,
    pub(crate) clock_difference_max: Duration,
    /// Whether a node of this name may connect at all.
    pub(crate) known: K,
}

/// A first message that is good if its token is.
#[derive(Debug)]
pub(crate) struct Claimed {
    /// For whoever judges the token.
    pub(crate) claim: Claim,
    acceptance: Acceptance,
    /// This side dials the other, and not the other way round.
    wrong_way: bool,
}

/// A first message that was found good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Acceptance {
    pub(crate) name: Box<str>,
    pub(crate) remote: Remote,
}

/// What the other side says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Remote {
    pub(crate) id: InstanceId,
    pub(crate) capabilities: Capabilities,
    /// The largest message that it takes, if it says so.
    pub(crate) message_bytes_max: MessageBytes,
}

impl<K> Acceptor<'_, K>
where
    K: Fn(&str) -> bool,
{
    /// Judges the first message, in the order and with the words of v1, as far as that goes without a look at the token.
    ///
    /// # Errors
    /// The reason, which is sent to the dialling side.
    pub(crate) fn on_message(&self, message: &[u8]) -> Result<Claimed, String> {
        let frame =
            Frame::decode(message, Capabilities::V1).map_err(|error| format!("error parsing grid connect: {error}"))?;
        if frame.head.op != Op::Connect {
            return Err(format!("unexpected connect op: {:?}", frame.head.op));
        }
        let connect = Connect::decode(frame.payload).map_err(|error| format!("error parsing connectReq: {error}"))?;
        let guest = is_guest(connect.host);
        if guest && !is_drawn(connect.host) {
            let name = connect.host.escape_debug();
            return Err(bounded(format_args!("{name} is no name that a guest can give itself")).into());
        }
        if !(self.known)(connect.host) || connect.host == self.local {
            let why = if guest { ", and this node lets no guests in" } else { "" };
            return Err(bounded(format_args!("unknown incoming host: {}{why}", connect.host)).into());
        }
        let apart = connect.time.abs_difference(self.now);
        if apart > self.clock_difference_max {
            return Err(format!("time difference too large between servers: {apart:?}"));
        }
        Ok(Claimed {
            claim: Claim { name: connect.host.into(), token: connect.token.into() },
            acceptance: Acceptance {
                name: connect.host.into(),
                remote: Remote {
                    id: connect.id,
                    capabilities: connect.capabilities,
                    message_bytes_max: connect.message_bytes_max,
                },
            },
            wrong_way: !guest && local_dials(self.local, connect.host),
        })
    }
}

impl Claimed {
    /// What is left to be judged when it is known whether the token is good.
    ///
    /// # Errors
    /// The reason, which is sent to the dialling side.
    pub(crate) fn on_verdict(self, verdict: Result<(), String>) -> Result<Acceptance, String> {
        verdict.map_err(|reason| format!("auth token: {reason}"))?;
        match self.wrong_way {
            true => Err("grid: expected to be client side, not server side".to_owned()),
            false => Ok(self.acceptance),
        }
    }
}

/// Whether this is the name of a guest: a process outside the mesh, which always dials.
pub(crate) fn is_guest(name: &str) -> bool {
    name.starts_with(GUEST)
}

/// Whether a guest may give itself this name. What looks like more is for certificates to say, and for logs to be
/// trusted in.
fn is_drawn(name: &str) -> bool {
    let digits = name.strip_prefix(GUEST).unwrap_or_default();
    digits.len() == 32 && digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
}

/// The answer to our first message: what the other side says of itself, or the reason why it refused.
pub(crate) fn dialled(message: &[u8]) -> Result<Result<Remote, String>, DecodeError> {
    let frame = Frame::decode(message, Capabilities::V1)?;
    if frame.head.op != Op::ConnectResponse {
        return Ok(Err(format!("answered with {:?} instead of ConnectResponse", frame.head.op)));
    }
    let response = ConnectResponse::decode(frame.payload)?;
    Ok(match response.accepted {
        true => Ok(Remote {
            id: response.id,
            capabilities: response.capabilities,
            message_bytes_max: response.message_bytes_max,
        }),
        false => Err(response.rejected_reason.to_owned()),
    })
}

/// How names of guests begin.
pub(crate) const GUEST: &str = "guest://";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Flags, Header, PayloadBuf, Trailer};

    const LOCAL: &str = "http://127.0.0.1:9001";
    const PEER: &str = "http://127.0.0.1:9000";

    fn message(op: Op, connect: &Connect<'_>) -> Vec<u8> {
        let mut payload = PayloadBuf::new();
        connect.put(payload.writer());
        payload.seal(Header::new(op, 0, Flags::NONE), &Trailer::default(), None).as_bytes().to_vec()
    }

    fn judge(message: &[u8]) -> Result<Acceptance, String> {
        judge_as(if local_dials(LOCAL, PEER) { PEER } else { LOCAL }, message)
    }

    fn judge_as(local: &str, message: &[u8]) -> Result<Acceptance, String> {
        let acceptor = Acceptor {
            local,
            now: WireTime::new(1_000_000, 0),
            clock_difference_max: Duration::from_secs(300),
            known: |name: &str| [LOCAL, PEER].contains(&name) || is_guest(name),
        };
        let claimed = acceptor.on_message(message)?;
        let verdict = if &*claimed.claim.token == "good" { Ok(()) } else { Err("not good".to_owned()) };
        claimed.on_verdict(verdict)
    }

    /// The first message of whichever of the two names dials.
    fn good() -> Connect<'static> {
        let host = if local_dials(LOCAL, PEER) { LOCAL } else { PEER };
        Connect { id: [1; 16], host, time: WireTime::new(1_000_200, 0), token: "good", ..Connect::default() }
    }

    #[test]
    fn each_fault_of_a_first_message_is_rejected_with_the_words_of_v1() {
        let rejected = |message: &[u8]| judge(message).unwrap_err();
        assert_eq!(judge(&message(Op::Connect, &good())).unwrap().remote.id, [1; 16]);
        assert!(rejected(b"\x97").starts_with("error parsing grid connect: "));
        assert_eq!(rejected(&message(Op::Request, &good())), "unexpected connect op: Request");
        let stranger = Connect { host: "http://10.0.0.1:1", ..good() };
        assert_eq!(rejected(&message(Op::Connect, &stranger)), "unknown incoming host: http://10.0.0.1:1");
        let late = Connect { time: WireTime::new(1_000_301, 0), ..good() };
        assert_eq!(rejected(&message(Op::Connect, &late)), "time difference too large between servers: 301s");
        let forged = Connect { token: "bad", ..good() };
        assert_eq!(rejected(&message(Op::Connect, &forged)), "auth token: not good");
        let garbage =
            PayloadBuf::copy_from(b"\xc1").seal(Header::new(Op::Connect, 0, Flags::NONE), &Trailer::default(), None);
        assert!(rejected(garbage.as_bytes()).starts_with("error parsing connectReq: "));
    }

    #[test]
    fn a_claim_shows_no_token() {
        let claim = Claim { name: "http://a:1".into(), token: "hush".into() };
        assert_eq!(format!("{claim:?}"), "Claim { name: \"http://a:1\", .. }");
    }

    #[test]
    fn the_wrong_direction_and_the_own_name_are_rejected_and_a_guest_has_no_direction() {
        let dialler = good().host;
        let acceptor = if dialler == LOCAL { PEER } else { LOCAL };
        let wrong_way = message(Op::Connect, &Connect { host: acceptor, ..good() });
        let reason = judge_as(dialler, &wrong_way).unwrap_err();
        assert_eq!(reason, "grid: expected to be client side, not server side");
        let own = judge_as(dialler, &message(Op::Connect, &good())).unwrap_err();
        assert_eq!(own, format!("unknown incoming host: {dialler}"));
        let guest = format!("guest://{:032x}", 1);
        let guest = Connect { host: &guest, ..good() };
        assert!(judge_as(dialler, &message(Op::Connect, &guest)).is_ok());
        for name in ["guest://", "guest://1", "guest://billing.example", "guest://a\nb"] {
            let named = Connect { host: name, ..good() };
            assert!(judge_as(dialler, &message(Op::Connect, &named)).unwrap_err().contains("no name"), "{name}");
        }
    }
}

//! The two messages of the handshake.

use std::time::{SystemTime, UNIX_EPOCH};

use rmpv::Value;

use super::frame::{Frame, map, op};

/// What a dialling peer says of itself. Each part can be wrong.
#[derive(Debug, Clone)]
pub struct Hello {
    pub id: Value,
    pub host: Value,
    pub time: Value,
    pub token: Value,
    /// Under `Caps`, which v1 peers do not send.
    pub caps: Option<Value>,
}

impl Hello {
    /// A v1 peer of this name, with a good clock and the token of the captures.
    pub fn new(host: &str) -> Self {
        let (id, time) = (Value::Binary(vec![7; 16]), time(now_secs()));
        Self { id, host: host.into(), time, token: "debug".into(), caps: None }
    }

    /// The first message.
    pub fn connect(&self) -> Frame {
        let Self { id, host, time, token, caps } = self.clone();
        let payload = match caps {
            Some(caps) => map([("ID", id), ("Host", host), ("Time", time), ("Token", token), ("Caps", caps)]),
            None => map([("ID", id), ("Host", host), ("Time", time), ("Token", token)]),
        };
        Frame::new(op::CONNECT, 0).bare().payload(payload)
    }
}

/// The answer to a first message; an empty reason accepts.
pub fn connect_response(reason: &str, caps: Option<u64>) -> Frame {
    let (id, accepted) = (Value::Binary(vec![9; 16]), Value::Boolean(reason.is_empty()));
    let payload = match caps {
        Some(caps) => {
            map([("ID", id), ("Accepted", accepted), ("RejectedReason", reason.into()), ("Caps", caps.into())])
        }
        None => map([("ID", id), ("Accepted", accepted), ("RejectedReason", reason.into())]),
    };
    Frame::new(op::CONNECT_RESPONSE, 0).bare().payload(payload)
}

/// A time as v1 peers write it.
pub fn time(secs: i64) -> Value {
    let mut data = secs.to_be_bytes().to_vec();
    data.extend([0; 4]);
    Value::Ext(5, data)
}

/// The time that Go calls zero.
pub fn zero_time() -> Value {
    time(-62_135_596_800)
}

/// Seconds since 1970.
pub fn now_secs() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
    i64::try_from(since.as_secs()).expect("the clock is before the end of time")
}

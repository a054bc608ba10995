//! The bodies of pings and pongs.

use super::msgpack::{DecodeError, Reader, put_bool, put_map_len, put_str};
use super::time::WireTime;

/// Asks the other side whether it is alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ping {
    /// The sender's wall clock, which comes back in the pong.
    pub(crate) time: WireTime,
}

impl Ping {
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        put_map_len(out, 1);
        put_str(out, "t");
        self.time.put(out);
    }

    /// A ping without a body has the zero time.
    pub(crate) fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let mut ping = Self { time: WireTime::default() };
        if payload.is_empty() {
            return Ok(ping);
        }
        let mut reader = Reader::new(payload);
        for _ in 0..reader.map_len("Ping")? {
            match reader.str("a key of Ping")? {
                "t" => ping.time = reader.time("t")?,
                _ => reader.skip("a value of Ping")?,
            }
        }
        Ok(ping)
    }
}

/// The answer to a ping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Pong<'a> {
    /// The call that the ping was for does not exist.
    pub(crate) not_found: bool,
    pub(crate) error: Option<&'a str>,
    /// The time of the ping.
    pub(crate) time: WireTime,
}

impl<'a> Pong<'a> {
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        put_map_len(out, 3);
        put_str(out, "nf");
        put_bool(out, self.not_found);
        put_str(out, "e");
        match self.error {
            Some(error) => put_str(out, error),
            None => out.push(0xc0),
        }
        put_str(out, "t");
        self.time.put(out);
    }

    pub(crate) fn decode(payload: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(payload);
        let mut pong = Self::default();
        for _ in 0..reader.map_len("Pong")? {
            match reader.str("a key of Pong")? {
                "nf" => pong.not_found = reader.bool("nf")?,
                "e" => pong.error = if reader.nil() { None } else { Some(reader.str("e")?) },
                "t" => pong.time = reader.time("t")?,
                _ => reader.skip("a value of Pong")?,
            }
        }
        Ok(pong)
    }
}

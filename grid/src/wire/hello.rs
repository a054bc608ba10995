//! The bodies of the two handshake messages.

use super::msgpack::{DecodeError, Reader, put_bin, put_bool, put_map_len, put_str, put_uint};
use super::time::WireTime;

/// Sixteen random bytes that a process takes at its start: a peer of the same name with another id is another process.
pub(crate) type InstanceId = [u8; 16];

/// What a grid node can take beyond v1, as one integer under the key `Caps` of both handshake bodies. v1 peers skip the
/// key and send none, which is [`Capabilities::V1`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Capabilities(u64);

impl Capabilities {
    pub(crate) const V1: Self = Self(0);
    /// Handler ids above 255.
    pub(crate) const WIDE_HANDLERS: Self = Self(1);
    /// Trailers: trace context, metadata, the reason of a refusal.
    pub(crate) const TRAILER: Self = Self(1 << 1);
    /// Cancelling a single request.
    pub(crate) const CANCEL: Self = Self(1 << 2);
    /// Being told that a node is about to leave.
    pub(crate) const DRAIN: Self = Self(1 << 3);
    /// Credits of streams that are counted in trailers, and ends of streams that need none.
    pub(crate) const CREDITS: Self = Self(1 << 4 | Self::TRAILER.0);
    /// All that this version of grid can take.
    pub(crate) const OWN: Self =
        Self(Self::WIDE_HANDLERS.0 | Self::TRAILER.0 | Self::CANCEL.0 | Self::DRAIN.0 | Self::CREDITS.0);

    pub(crate) fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// What both sides can take.
    pub(crate) fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

/// The largest message that a grid node takes, under the key `MaxMessage`. v1 peers skip the key and send none.
pub(crate) type MessageBytes = Option<u64>;

/// The first message of the dialling side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Connect<'a> {
    pub(crate) id: InstanceId,
    pub(crate) host: &'a str,
    pub(crate) time: WireTime,
    pub(crate) token: &'a str,
    pub(crate) capabilities: Capabilities,
    pub(crate) message_bytes_max: MessageBytes,
}

impl<'a> Connect<'a> {
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        put_map_len(out, 4 + additions(self.capabilities, self.message_bytes_max));
        put_str(out, "ID");
        put_bin(out, &self.id);
        put_str(out, "Host");
        put_str(out, self.host);
        put_str(out, "Time");
        self.time.put(out);
        put_str(out, "Token");
        put_str(out, self.token);
        put_additions(out, self.capabilities, self.message_bytes_max);
    }

    pub(crate) fn decode(payload: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(payload);
        let mut connect = Self::default();
        for _ in 0..reader.map_len("Connect")? {
            match reader.str("a key of Connect")? {
                "ID" => connect.id = read_id(&mut reader)?,
                "Host" => connect.host = reader.str("Host")?,
                "Time" => connect.time = reader.time("Time")?,
                "Token" => connect.token = reader.str("Token")?,
                CAPABILITIES => connect.capabilities = Capabilities(reader.uint(CAPABILITIES, u64::MAX)?),
                MESSAGE => connect.message_bytes_max = Some(reader.uint(MESSAGE, u64::MAX)?),
                _ => reader.skip("a value of Connect")?,
            }
        }
        Ok(connect)
    }
}

/// The answer of the accepting side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct ConnectResponse<'a> {
    pub(crate) id: InstanceId,
    pub(crate) accepted: bool,
    pub(crate) rejected_reason: &'a str,
    pub(crate) capabilities: Capabilities,
    pub(crate) message_bytes_max: MessageBytes,
}

impl<'a> ConnectResponse<'a> {
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        put_map_len(out, 3 + additions(self.capabilities, self.message_bytes_max));
        put_str(out, "ID");
        put_bin(out, &self.id);
        put_str(out, "Accepted");
        put_bool(out, self.accepted);
        put_str(out, "RejectedReason");
        put_str(out, self.rejected_reason);
        put_additions(out, self.capabilities, self.message_bytes_max);
    }

    pub(crate) fn decode(payload: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(payload);
        let mut response = Self::default();
        for _ in 0..reader.map_len("ConnectResponse")? {
            match reader.str("a key of ConnectResponse")? {
                "ID" => response.id = read_id(&mut reader)?,
                "Accepted" => response.accepted = reader.bool("Accepted")?,
                "RejectedReason" => response.rejected_reason = reader.str("RejectedReason")?,
                CAPABILITIES => response.capabilities = Capabilities(reader.uint(CAPABILITIES, u64::MAX)?),
                MESSAGE => response.message_bytes_max = Some(reader.uint(MESSAGE, u64::MAX)?),
                _ => reader.skip("a value of ConnectResponse")?,
            }
        }
        Ok(response)
    }
}

/// How many keys [`put_additions`] writes.
fn additions(capabilities: Capabilities, message_bytes_max: MessageBytes) -> usize {
    usize::from(capabilities != Capabilities::V1) + usize::from(message_bytes_max.is_some())
}

fn put_additions(out: &mut Vec<u8>, capabilities: Capabilities, message_bytes_max: MessageBytes) {
    if capabilities != Capabilities::V1 {
        put_str(out, CAPABILITIES);
        put_uint(out, capabilities.0);
    }
    if let Some(bytes) = message_bytes_max {
        put_str(out, MESSAGE);
        put_uint(out, bytes);
    }
}

fn read_id(reader: &mut Reader<'_>) -> Result<InstanceId, DecodeError> {
    let id = reader.bin("ID")?;
    id.try_into().map_err(|_| DecodeError::Length { field: "ID", wanted: 16, got: id.len() })
}

const CAPABILITIES: &str = "Caps";
const MESSAGE: &str = "MaxMessage";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn additions_come_back_from_both_bodies() {
        let mut out = Vec::new();
        let connect = Connect {
            host: "http://a:1",
            capabilities: Capabilities::OWN,
            message_bytes_max: Some(1 << 20),
            ..Connect::default()
        };
        connect.put(&mut out);
        assert_eq!(Connect::decode(&out), Ok(connect));

        out.clear();
        let response =
            ConnectResponse { accepted: true, message_bytes_max: Some(1 << 20), ..ConnectResponse::default() };
        response.put(&mut out);
        assert_eq!(ConnectResponse::decode(&out), Ok(response));
    }
}

//! The HTTP part of a connection, as text.

use std::fmt::Write;

use sha1::{Digest, Sha1};

/// The request line or status line and the headers, as they stood there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    pub line: String,
    pub headers: Vec<(String, String)>,
}

/// The key of every upgrade that a raw peer asks for. The answer to it is known from RFC 6455.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

impl Head {
    /// The request of a v1 peer for a WebSocket.
    pub fn upgrade(path: &str, host: &str, token: &str) -> Self {
        let headers = [
            ("Host", host),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", KEY),
            ("Authorization", &format!("Bearer {token}")),
            ("X-Minio-Time", "1795366595811763746"),
        ];
        Self::new(format!("GET {path} HTTP/1.1"), &headers)
    }

    /// The answer of a v1 peer to this request.
    pub fn switching(request: &Self) -> Self {
        let accept = accept_key(request.header("Sec-WebSocket-Key").expect("an upgrade has a key"));
        let headers = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", &*accept)];
        Self::new("HTTP/1.1 101 Switching Protocols", &headers)
    }

    pub fn new(line: impl Into<String>, headers: &[(&str, &str)]) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self { line: line.into(), headers: headers.iter().map(owned).collect() }
    }

    /// Without this header.
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self
    }

    /// With this header, in place of one of the same name.
    pub fn with(self, name: &str, value: &str) -> Self {
        let mut this = self.without(name);
        this.headers.push((name.to_owned(), value.to_owned()));
        this
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The status of an answer.
    ///
    /// # Panics
    /// It is no answer.
    pub fn status(&self) -> u16 {
        let status = self.line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        status.unwrap_or_else(|| panic!("no status line: {:?}", self.line))
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut text = format!("{}\r\n", self.line);
        for (name, value) in &self.headers {
            write!(text, "{name}: {value}\r\n").expect("a String takes all that is written to it");
        }
        text.push_str("\r\n");
        text.into_bytes()
    }

    /// Reads a head, with or without the empty line at its end.
    ///
    /// # Panics
    /// It is none.
    pub fn parse(text: &str) -> Self {
        let mut lines = text.trim_end_matches("\r\n").split("\r\n");
        let line = lines.next().expect("a split has a first part").to_owned();
        let header = |line: &str| match line.split_once(": ") {
            Some((name, value)) => (name.to_owned(), value.to_owned()),
            None => panic!("no header: {line:?}"),
        };
        Self { line, headers: lines.map(header).collect() }
    }
}

/// What answers a key.
pub fn accept_key(key: &str) -> String {
    base64(&Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11")))
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0_usize, |bits, byte| (bits << 8) | usize::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            match place <= chunk.len() {
                true => out.push(char::from(DIGITS[(bits >> (18 - 6 * place)) & 63])),
                false => out.push('='),
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_the_rfc_has_the_answer_of_the_rfc() {
        assert_eq!(accept_key(KEY), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}

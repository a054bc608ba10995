//! The HTTP part of a connection, on either side.

use std::future::ready;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures_util::FutureExt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tungstenite::handshake::derive_accept_key;

use super::choices::Choices;
use crate::auth::TokensProve;
use crate::clock::Clock;
use crate::error::LinkError;
use crate::limits::{Limits, Timeouts};
use crate::middleware::Layers;
use crate::rt::{Guests, Settings, Socket, WebSocket, accept_http, dial_http};
use crate::transport::Tcp;

/// Answers any bytes as a request for a WebSocket, or takes them for the answer to one, and reads the first message behind
/// it. In pieces it is all the same.
pub fn upgrade(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let dials = choices.is_so();
    let pieces = choices.some_bytes();
    let rest = choices.rest();
    let rest = rest.get(..BYTES_MAX).unwrap_or(rest);
    let whole = run(dials, rest, &[]);
    let again = run(dials, rest, pieces);
    if dials {
        // What was asked for differs in its key.
        assert_eq!(whole.0, again.0, "how bytes come is all one");
        return;
    }
    assert_eq!(whole, again, "how bytes come is all one");
    let (came, answer) = whole;
    let status = answer.strip_prefix(b"HTTP/1.1 ").map(|rest| rest.get(..3).unwrap_or_default());
    match (&came, status) {
        (Came::Refused(LinkError::Closed(_)), None) => assert!(answer.is_empty()),
        (Came::Refused(LinkError::Rejected(_)), Some(status)) => {
            assert!([&b"400"[..], b"403", b"404", b"426"].contains(&status) && answer.ends_with(b"\r\n\r\n"));
        }
        (Came::Message(_), Some(b"101")) => assert!(may_be_upgraded(rest), "a request is taken that must not be"),
        _ => panic!("{came:?} with the answer {}", answer.escape_ascii()),
    }
}

/// Whether a request names the right path, and is not that of a browser. Its head ends at an empty line, and empty lines
/// before it do not count; the carriage return of each may be missing.
fn may_be_upgraded(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_ascii_lowercase();
    let mut head = text.lines().skip_while(|line| line.is_empty()).take_while(|line| !line.is_empty());
    head.next().is_some_and(|line| line.contains("/grid/v1")) && !head.any(|line| line.starts_with("origin:"))
}

/// What comes of a connection: no WebSocket, or one with a first message or none.
#[derive(Debug, PartialEq, Eq)]
enum Came {
    Refused(LinkError),
    Message(Result<Vec<u8>, LinkError>),
}

/// What came of it, and what was said.
fn run(dials: bool, bytes: &[u8], pieces: &[u8]) -> (Came, Vec<u8>) {
    let said = Arc::default();
    let io = Scripted { bytes: bytes.to_vec(), at: 0, pieces: pieces.to_vec(), piece: 0, said: Arc::clone(&said) };
    let socket = Socket::new(Box::new(io), usize::MAX);
    let settings = settings();
    let came = async {
        let upgraded = match dials {
            true => dial_http(socket, "http://peer:1", "token", &settings).await,
            false => accept_http(socket, &settings).await,
        };
        let mut ws: WebSocket = match upgraded {
            Ok(ws) => ws,
            Err(why) => return Came::Refused(why),
        };
        Came::Message(ws.receive().await.map(Vec::from))
    };
    let came = came.now_or_never().expect("nothing waits for a stream that is always ready");
    let said = std::mem::take(&mut *said.lock().unwrap_or_else(PoisonError::into_inner));
    (came, said)
}

fn settings() -> Settings {
    Settings {
        name: "http://node:1".into(),
        route: "/grid/v1".into(),
        limits: Limits::default(),
        timeouts: Timeouts::default(),
        token_source: Arc::new(|_| Box::pin(ready(String::new()))),
        token_validator: Arc::new(|_| Box::pin(ready(Ok(())))),
        tokens_prove: TokensProve::Nothing,
        connector: Arc::new(Tcp),
        clock: Clock::default(),
        guests: Guests::Refused,
        tls: None,
        middleware: Layers::default(),
    }
}

/// A byte stream that gives some bytes in pieces of some sizes, over and over, then its end, and takes all.
struct Scripted {
    bytes: Vec<u8>,
    at: usize,
    pieces: Vec<u8>,
    piece: usize,
    said: Arc<Mutex<Vec<u8>>>,
}

impl Scripted {
    /// A byte that no head contains stands for the answer to the key that was sent.
    fn answer_key(&mut self) {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let said = String::from_utf8_lossy(&said).into_owned();
        let mut lines = said.lines().filter_map(|line| line.split_once(": "));
        let key = lines.find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"));
        if let (Some((_, key)), Some(place)) = (key, self.bytes.iter().position(|byte| *byte == KEY)) {
            self.bytes.splice(place..=place, derive_accept_key(key.as_bytes()).into_bytes());
        }
    }
}

impl AsyncRead for Scripted {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.at == 0 && self.piece == 0 {
            self.answer_key();
        }
        let size = match self.pieces.get(self.piece % self.pieces.len().max(1)) {
            Some(size) => 1 + usize::from(*size),
            None => usize::MAX,
        };
        self.piece += 1;
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let read = rest.get(..size.min(buf.remaining()).min(rest.len())).unwrap_or_default();
        buf.put_slice(read);
        self.at += read.len();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Scripted {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Heads up to this length are taken whatever the pieces in which they come.
const BYTES_MAX: usize = 16 << 10;
/// Stands for the answer to the key of a request.
const KEY: u8 = 0xff;

//! One byte stream to a node, and what is said over it.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::time::Duration;

use grid::BoxIo;
use rmpv::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::frame::{Frame, flag, frames_of, map, merge, op};
use super::hello::zero_time;
use super::http::Head;
use super::websocket::{LengthForm, WsFrame, opcode};

/// The scripted end of a byte stream. Every wait is bounded, and fails the test with what it waited for.
pub struct RawPeer {
    io: BoxIo,
    role: Role,
    /// Read and not yet looked at.
    unread: Vec<u8>,
    /// Of the last merge.
    frames: VecDeque<Frame>,
    /// [`flag::CRC`] if the node's own frames are to carry a checksum, and ours do.
    crc: u8,
    fences: u32,
    bytes: Bytes,
}

/// Which end of the connection a raw peer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It masks, and the node does not.
    Dialler,
    /// The node masks.
    Acceptor,
}

/// Bytes as they went over the socket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bytes {
    pub read: u64,
    pub written: u64,
}

impl RawPeer {
    pub fn new(io: BoxIo, role: Role) -> Self {
        let frames = VecDeque::new();
        Self { io, role, unread: Vec::new(), frames, crc: flag::CRC, fences: 0, bytes: Bytes::default() }
    }

    /// Between two names that want no checksums.
    pub fn without_crc(mut self) -> Self {
        self.crc = 0;
        self
    }

    pub fn bytes(&self) -> Bytes {
        self.bytes
    }

    // Bytes.

    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        self.try_send_bytes(bytes).await.expect("the node takes bytes");
    }

    /// Sends bytes to a node that may close the stream meanwhile.
    pub async fn try_send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        let sent = async {
            self.io.write_all(bytes).await?;
            self.io.flush().await
        };
        within("the node to take bytes", sent).await?;
        self.bytes.written += bytes.len() as u64;
        Ok(())
    }

    /// Reads once. False: nothing more will come.
    async fn fill(&mut self, what: &str) -> bool {
        match within(what, self.io.read_buf(&mut self.unread)).await {
            Ok(read) => {
                self.bytes.read += read as u64;
                read > 0
            }
            Err(error) => {
                let closed = [io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe];
                assert!(closed.contains(&error.kind()), "reading: {error}");
                false
            }
        }
    }

    // HTTP.

    /// The head that the node sends: a request if it dials, else an answer.
    pub async fn recv_head(&mut self) -> Head {
        loop {
            if let Some(end) = self.unread.windows(4).position(|window| window == b"\r\n\r\n") {
                let head: Vec<u8> = self.unread.drain(..end + 4).collect();
                return Head::parse(std::str::from_utf8(&head).expect("a head is text"));
            }
            assert!(self.fill("a head").await, "the node closed the stream before its head was whole");
        }
    }

    /// Reads once, and keeps it for later.
    pub async fn read_some(&mut self) {
        assert!(self.fill("some bytes").await, "bytes, not the end of the stream");
    }

    /// Says that no more bytes will come from this end.
    pub async fn finish_writing(&mut self) {
        within("the half close", self.io.shutdown()).await.expect("the stream is open");
    }

    /// Waits for the end of the stream, whatever comes before it.
    pub async fn at_end(&mut self) {
        while self.fill("the end of the stream").await {
            self.unread.clear();
        }
    }

    // WebSocket.

    /// Sends a frame as it is.
    pub async fn send_ws(&mut self, frame: &WsFrame) {
        self.send_bytes(&frame.encode(LengthForm::Shortest)).await;
    }

    /// A whole frame, masked as this end has to.
    pub fn ws(&self, opcode: u8, payload: impl AsRef<[u8]>) -> WsFrame {
        let mask = (self.role == Role::Dialler).then_some([0x37, 0xfa, 0x21, 0x3d]);
        WsFrame { mask, ..WsFrame::new(opcode, payload) }
    }

    /// The next frame of the WebSocket; `None` at the end of the stream.
    pub async fn try_recv_ws(&mut self) -> Option<WsFrame> {
        loop {
            match WsFrame::take(&mut self.unread) {
                Ok(Some(frame)) => {
                    assert_eq!(frame.mask.is_some(), self.role == Role::Acceptor, "a node masks exactly when it dials");
                    assert!(frame.fin && frame.rsv == 0, "a node sends whole frames without extensions: {frame:?}");
                    return Some(frame);
                }
                Ok(None) => {}
                Err(fault) => panic!("the node's WebSocket frame: {fault}"),
            }
            if !self.fill("a WebSocket frame").await {
                assert!(self.unread.is_empty(), "the stream ends within a frame: {:02x?}", self.unread);
                return None;
            }
        }
    }

    pub async fn recv_ws(&mut self) -> WsFrame {
        self.try_recv_ws().await.expect("a WebSocket frame, not the end of the stream")
    }

    // Messages and frames.

    /// Sends a message in one binary frame.
    pub async fn send_message(&mut self, message: impl AsRef<[u8]>) {
        self.send_ws(&self.ws(opcode::BINARY, message)).await;
    }

    pub async fn send(&mut self, frame: &Frame) {
        self.send_message(frame.encode()).await;
    }

    /// Sends a well-formed merge.
    pub async fn send_merged(&mut self, frames: &[Frame]) {
        let elements: Vec<_> = frames.iter().map(Frame::encode).collect();
        self.send_message(merge(u32::try_from(frames.len()).expect("not that many"), &elements)).await;
    }

    /// The next frame, out of a merge or not; `None` at the end of the stream.
    pub async fn try_recv(&mut self) -> Option<Frame> {
        if self.frames.is_empty() {
            let frame = self.try_recv_ws().await?;
            assert_eq!(frame.opcode, opcode::BINARY, "a node sends binary messages: {frame:?}");
            let frames = frames_of(&frame.payload);
            self.frames.extend(frames.unwrap_or_else(|fault| panic!("{fault}, in {:02x?}", frame.payload)));
        }
        self.frames.pop_front()
    }

    pub async fn recv(&mut self) -> Frame {
        self.try_recv().await.expect("a frame, not the end of the stream")
    }

    /// Nothing that was sent before is still to be answered, and nothing else has come.
    pub async fn fence(&mut self) {
        let before = self.recv_to_fence().await;
        assert_eq!(before, [], "these came when nothing should");
    }

    /// All that comes up to the answer to a ping that is sent now: one of a call that does not exist, as the answer to
    /// that of the link may overtake what is queued.
    pub async fn recv_to_fence(&mut self) -> Vec<Frame> {
        self.fences += 1;
        let ping = Frame { seq: self.fences, ..Frame::new(op::PING, FENCE).bare() };
        let body = map([("nf", true.into()), ("e", Value::Nil), ("t", zero_time())]);
        let pong = Frame { op: op::PONG, ..ping.clone() }.flags(self.crc).payload(body);
        self.send(&ping).await;
        let mut before = Vec::new();
        loop {
            match self.recv().await {
                frame if frame == pong => return before,
                frame => before.push(frame),
            }
        }
    }

    /// The node closes the stream, without a word.
    pub async fn closed(&mut self) {
        let before = self.recv_to_end().await;
        assert_eq!(before, [], "these came before the end");
    }

    /// All frames up to the end of the stream.
    pub async fn recv_to_end(&mut self) -> Vec<Frame> {
        let mut before = Vec::new();
        while let Some(frame) = self.try_recv().await {
            before.push(frame);
        }
        before
    }
}

/// # Panics
/// It takes too long.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let in_time = tokio::time::timeout(PATIENCE, future).await;
    in_time.unwrap_or_else(|_| panic!("waited {PATIENCE:?} for {what}"))
}

/// So much time passes at once, for the node as well. Nothing else may wait meanwhile, as it would be late.
pub async fn let_pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

/// A mux id that no call has: those of v1 peers count from 1, and those of grid have bits above these.
const FENCE: u64 = 0xfe_0ce;
/// Far longer than anything takes on a loaded machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

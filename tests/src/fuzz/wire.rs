//! One byte stream to the node under test.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::FutureExt;
use grid::Manager;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::stage::LINK_BYTES;
use crate::raw::{Frame, LengthForm, Role, WsFrame, frames_of, op, opcode};

/// The far end of a stream that a node has. What is sent waits here until it is time to write it, so that much comes at
/// once; what the node says is read when it is asked for, and must be what a node may say.
pub(super) struct Wire {
    io: DuplexStream,
    role: Role,
    pending: Vec<u8>,
    unread: Vec<u8>,
    /// The node's own frames from its first on, or none if no upgrade has come yet.
    upgraded: bool,
    /// Streams of this end that the node has acknowledged, if this end plays a v1 peer.
    acknowledged: Option<HashSet<u64>>,
    pub(super) is_over: bool,
}

impl Wire {
    /// A stream that the node takes in.
    pub(super) fn to(node: &Manager) -> Self {
        let (near, far) = duplex(LINK_BYTES);
        let node = node.clone();
        tokio::spawn(async move { node.accept(far).await });
        Self::new(near, Role::Dialler)
    }

    /// `role` is that of this end.
    pub(super) fn new(io: DuplexStream, role: Role) -> Self {
        Self { io, role, pending: Vec::new(), unread: Vec::new(), upgraded: false, acknowledged: None, is_over: false }
    }

    /// Sends bytes, now or a little later.
    pub(super) async fn send(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
        if self.pending.len() > PENDING_MAX {
            self.flush().await;
        }
    }

    pub(super) async fn send_ws(&mut self, mut frame: WsFrame) {
        if self.role == Role::Dialler {
            frame.mask = frame.mask.xor(Some([0x37, 0xfa, 0x21, 0x3d]));
        }
        self.send(&frame.encode(LengthForm::Shortest)).await;
    }

    pub(super) async fn send_message(&mut self, message: impl AsRef<[u8]>) {
        self.send_ws(WsFrame::new(opcode::BINARY, message)).await;
    }

    /// Sends what waits.
    ///
    /// # Panics
    /// The node neither reads nor closes the stream.
    pub(super) async fn flush(&mut self) {
        let pending = std::mem::take(&mut self.pending);
        let written = tokio::time::timeout(PATIENCE, self.io.write_all(&pending)).await;
        self.is_over |= written.expect("a node reads whatever it has to write").is_err();
    }

    /// From now on this end is a v1 peer, to whom nothing is said of a stream before it is acknowledged.
    pub(super) fn be_v1(&mut self) {
        self.acknowledged = Some(HashSet::new());
    }

    /// Lets the node do what it has to, and reads what it has said.
    pub(super) async fn receive(&mut self) -> Vec<Frame> {
        self.flush().await;
        tokio::time::sleep(MOMENT).await;
        loop {
            match self.io.read_buf(&mut self.unread).now_or_never() {
                Some(Ok(0) | Err(_)) => {
                    self.is_over = true;
                    break;
                }
                Some(Ok(_)) => {}
                None => break,
            }
        }
        self.take_frames()
    }

    /// The head that the node has sent, once it is whole.
    pub(super) fn take_head(&mut self) -> Option<Vec<u8>> {
        let end = self.unread.windows(4).position(|window| window == b"\r\n\r\n")?;
        self.upgraded = true;
        Some(self.unread.drain(..end + 4).collect())
    }

    fn take_frames(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while self.upgraded
            && let Some(frame) = WsFrame::take(&mut self.unread).expect("a node writes good frames")
        {
            assert_eq!(frame.mask.is_some(), self.role == Role::Acceptor, "a node masks exactly when it dials");
            assert!(frame.fin && frame.rsv == 0, "a node sends whole frames without extensions");
            match frame.opcode {
                opcode::BINARY => frames.extend(frames_of(&frame.payload).expect("a node sends good messages")),
                opcode::PONG => assert!(frame.payload.len() <= 125),
                opcode::CLOSE => assert!(matches!(frame.payload.len(), 0 | 2)),
                other => panic!("a node has no use for the opcode {other}"),
            }
        }
        for frame in &frames {
            let Some(acknowledged) = &mut self.acknowledged else { break };
            match frame.op {
                op::ACK_MUX => {
                    assert_eq!(frame.seq, 0, "{frame:?}");
                    acknowledged.insert(frame.mux);
                }
                op::MUX_SERVER_MSG | op::UNBLOCK_CL_MUX => {
                    assert!(acknowledged.contains(&frame.mux), "before it is open: {frame:?}");
                }
                _ => {}
            }
        }
        frames
    }
}

/// What is written at once.
const PENDING_MAX: usize = 8 << 10;
/// Virtual time passes only when every task waits.
const MOMENT: Duration = Duration::from_millis(1);
/// Longer than a node waits for one that does not read.
const PATIENCE: Duration = Duration::from_secs(60);

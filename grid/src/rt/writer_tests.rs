use std::io;
use std::sync::{Arc, Mutex};
use std::task::Waker;

use tokio::io::{AsyncRead, ReadBuf};

use super::super::lane::Lane;
use super::*;
use crate::wire::{Flags, Header, Op, PayloadBuf, Trailer};

/// Takes all that is written, and keeps it write by write.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<Vec<u8>>>>);

impl AsyncRead for Sink {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Sink {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.lock().unwrap().push(bytes.to_vec());
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        self.poll_write(cx, &bytes)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn frame(number: u32, len: usize) -> EncodedFrame {
    let header = Header { seq: number, ..Header::new(Op::MuxClientMsg, 1, Flags::NONE) };
    PayloadBuf::copy_from(&vec![7; len]).seal(header, &Trailer::default(), None)
}

/// All that is queued, write by write.
fn writes(outbox: &Outbox) -> Vec<Vec<u8>> {
    let sink = Sink::default();
    let mut socket = Socket::new(Box::new(sink.clone()), usize::MAX);
    let mut writer = Writer::new(Masks::No, 32 << 20, Duration::from_secs(1));
    let cx = &mut Context::from_waker(Waker::noop());
    loop {
        writer.fill(outbox);
        if writer.is_idle() {
            return std::mem::take(&mut sink.0.lock().unwrap());
        }
        assert!(matches!(writer.poll_out(&mut socket, cx), Poll::Ready(Ok(()))));
    }
}

#[test]
fn small_frames_behind_a_large_one_of_their_call_share_writes() {
    const SMALL: u32 = 3000;
    let outbox = Outbox::new(4 << 20, 1 << 20);
    let bulk = Lane::Bulk { mux: 1 };
    let mut expected = Vec::new();
    for number in 0..=SMALL {
        let frame = frame(number, if number == 0 { COPIED_MAX } else { 20 });
        put_message(Packed::One(frame.as_bytes()), Masks::No, &mut expected);
        outbox.try_push(frame, bulk).unwrap();
    }
    let writes = writes(&outbox);
    let bytes = writes.concat();
    assert!(bytes == expected, "all, in their order");
    let few = 2 + bytes.len() / WRITE_BYTES;
    assert!(writes.len() <= few, "{} writes for {} bytes", writes.len(), bytes.len());
}

//! Streams that were opened, to a node or to a scripted peer.

use std::future::IntoFuture;

use bytes::Bytes;
use grid::{CallError, Inbound, ManagerBuilder, Outbound, RemoteError, Windows};
use grid_tests::memory::within;
use grid_tests::raw::{RawPeer, op};
use grid_tests::streams::{frame, granting};

/// Sends each item back.
pub(crate) const ECHO: u8 = 20;

pub(crate) type Halves = (Outbound<Bytes>, Inbound<Bytes, RemoteError>);
type Opened = Result<Halves, CallError<RemoteError>>;

/// Serves [`ECHO`].
pub(crate) fn echo_items(builder: ManagerBuilder, windows: impl Into<Windows>) -> ManagerBuilder {
    builder.stream(ECHO, windows, |_, _, mut inbound, outbound| async move {
        while let Some(item) = inbound.next().await {
            outbound.send(item?).await?;
        }
        Ok(())
    })
}

pub(crate) async fn opened(call: impl IntoFuture<Output = Opened>) -> Halves {
    within(call.into_future()).await.expect("it opens")
}

/// A stream that a scripted peer lets in with so many credits, and its id.
pub(crate) async fn let_in(
    peer: &mut RawPeer,
    call: impl IntoFuture<Output = Opened>,
    credits: usize,
) -> (Halves, u64) {
    let answering = async {
        let mux = loop {
            let frame = peer.recv().await;
            if frame.op == op::CONNECT_MUX {
                break frame.mux;
            }
        };
        peer.send(&granting(frame(op::ACK_MUX, mux, 0), credits)).await;
        mux
    };
    tokio::join!(opened(call), answering)
}

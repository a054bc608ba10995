//! The floor: messages to and fro on a WebSocket, as many under way as there are callers, and nothing else. One task on
//! each side, which writes what it has gathered when there is nothing left to be read.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::wire::{accept, connect, dial, listen};
use crate::case::{Done, Plan, Sample};
use crate::latency::Histogram;
use crate::payload::Payload;
use crate::unary::Work;

/// Measures messages in the place of calls.
pub(crate) async fn measure(work: Work, plan: Plan) -> Result<Sample> {
    let stream = dial(listen(serve).await?).await?;
    let socket = Arc::new(Mutex::new(connect(stream).await?));
    plan.measure(|count| {
        let socket = Arc::clone(&socket);
        async move { tokio::spawn(async move { exchange(&mut *socket.lock().await, work, count).await }).await? }
    })
    .await
}

async fn serve(stream: TcpStream) -> Result<()> {
    let mut socket = accept(stream).await?;
    loop {
        let message = next(&mut socket).await?;
        socket.feed(Message::Binary(message)).await?;
    }
}

/// Sends messages and gets them back. All that is under way fits into the buffers of the kernel, so it cannot be that
/// both sides wait for room.
async fn exchange(socket: &mut Socket, work: Work, count: u64) -> Result<Done> {
    let (window, all) = (work.callers, u32::try_from(count)?.checked_mul(work.callers).context("so many")?);
    let (mut payload, mut latencies) = (Payload::new(work.bytes), Histogram::new());
    let mut begun = VecDeque::new();
    for number in 0..window + all {
        if let Some(answered) = number.checked_sub(window) {
            let answer = next(socket).await?;
            payload.numbered(answered);
            payload.check(&answer)?;
            latencies.record(begun.pop_front().map_or_else(Default::default, |begun: Instant| begun.elapsed()));
        }
        if number < all {
            begun.push_back(Instant::now());
            socket.feed(Message::Binary(Bytes::copy_from_slice(payload.numbered(number)))).await?;
        }
    }
    Ok(Done { units: all.into(), latencies })
}

/// The next message. If it is not there yet, what was gathered is written.
async fn next(socket: &mut Socket) -> Result<Bytes> {
    let message = match socket.next().now_or_never() {
        Some(message) => message,
        None => {
            socket.flush().await?;
            socket.next().await
        }
    };
    match message.context("the socket goes on")?? {
        Message::Binary(bytes) => Ok(bytes),
        other => bail!("{other:?} came"),
    }
}

type Socket = WebSocketStream<TcpStream>;

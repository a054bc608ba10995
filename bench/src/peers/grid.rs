//! grid: handlers on bytes, called by a guest. All settings are the defaults.

use std::net::TcpListener;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use grid::{Connection, Inbound, Manager, ManagerBuilder, Outbound, RemoteError, Windows};

use crate::item::{Check, Incoming, item, number, parse_number};
use crate::streams::{Outgoing, Streams};

/// A node, and a guest's connection to it.
#[derive(Clone)]
pub(crate) struct Grid {
    connection: Connection,
    window: u32,
    _node: Manager,
}

impl Grid {
    pub(crate) async fn start(window: u32) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("http://{}", listener.local_addr()?);
        let builder = Manager::builder(url.clone()).listener(listener);
        let builder = builder.allow_guests([RESPONSES, REQUESTS, EXCHANGE].map(Into::into));
        let node = serve_streams(builder, window).start().await?;
        Ok(Self { connection: grid::connect(url).await?, window, _node: node })
    }
}

impl Streams for Grid {
    async fn responses(&self, count: u64) -> Result<impl Incoming> {
        let windows = Windows::responses(self.window);
        let (_, inbound) = self.connection.stream(RESPONSES, windows, number(count)).await?;
        Ok(inbound)
    }

    async fn requests(&self, count: u64) -> Result<u64> {
        let windows = Windows::requests(self.window);
        let (outbound, mut inbound) = self.connection.stream(REQUESTS, windows, "").await?;
        for number in 0..count {
            outbound.send(item(number)).await?;
        }
        outbound.finish().await?;
        let answer = inbound.next().await.context("an answer comes")??;
        ensure!(inbound.next().await.is_none(), "one answer comes");
        parse_number(&answer)
    }

    async fn exchange(&self) -> Result<(impl Outgoing, impl Incoming)> {
        Ok(self.connection.stream(EXCHANGE, self.window, "").await?)
    }
}

impl Outgoing for Outbound<Bytes> {
    async fn send(&mut self, item: Bytes) -> Result<()> {
        Ok(Self::send(self, item).await?)
    }

    async fn finish(self) -> Result<()> {
        Ok(Self::finish(self).await?)
    }
}

/// Adds the server's side of the streams.
fn serve_streams(builder: ManagerBuilder, window: u32) -> ManagerBuilder {
    builder
        .stream(RESPONSES, Windows::responses(window), |_, count, _, outbound| async move {
            for number in 0..parse_number(&count).map_err(failed)? {
                outbound.send(item(number)).await?;
            }
            Ok(())
        })
        .stream(REQUESTS, Windows::requests(window), |_, _, inbound, outbound| async move {
            let count = Check::default().all(inbound).await.map_err(failed)?;
            Ok(outbound.send(number(count)).await?)
        })
        .stream(EXCHANGE, window, |_, _, inbound, outbound| exchange(inbound, outbound))
}

async fn exchange(mut inbound: Inbound<Bytes>, outbound: Outbound<Bytes>) -> Result<(), RemoteError> {
    let mut check = Check::default();
    while let Some(item) = inbound.next().await {
        let item = item?;
        check.item(&item).map_err(failed)?;
        outbound.send(item).await?;
    }
    Ok(())
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn failed(error: anyhow::Error) -> RemoteError {
    RemoteError::new(error.to_string())
}

const RESPONSES: u8 = 1;
const REQUESTS: u8 = 2;
const EXCHANGE: u8 = 3;

//! grid: handlers on bytes, called by a guest. All settings are the defaults.

use std::future::pending;
use std::net::TcpListener;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use grid::{Connection, Inbound, Manager, ManagerBuilder, Outbound, RemoteError, Windows};

use crate::calls::{Bulk, Calls, Holds};
use crate::item::{Check, Incoming, bulk_item, item, number, parse_number};
use crate::streams::{Outgoing, Streams};

/// A node, and a guest's connection to it.
#[derive(Clone)]
pub(crate) struct Grid {
    connection: Connection,
    window: u32,
    node: Manager,
}

impl Grid {
    pub(crate) async fn start(window: u32) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("http://{}", listener.local_addr()?);
        let builder = Manager::builder(url.clone()).listener(listener).allow_guests();
        let node = serve_calls(serve_streams(builder, window)).start().await?;
        Ok(Self { connection: grid::connect(url).await?, window, node })
    }
}

impl Calls for Grid {
    async fn echo(&self, payload: Bytes) -> Result<Bytes> {
        Ok(self.connection.single(ECHO, payload).await?)
    }

    async fn another(&self) -> Result<Self> {
        Ok(Self { connection: grid::connect(self.node.name()).await?, ..self.clone() })
    }
}

impl Holds for Grid {
    async fn hold(&self) -> Result<impl Incoming + 'static> {
        let (_, inbound) = self.connection.stream(HOLD, DOWN, "").await?;
        Ok(inbound)
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

impl Bulk for Grid {
    async fn download(&self, item_bytes: u64) -> Result<impl Incoming + 'static> {
        let (_, inbound) = self.connection.stream(DOWNLOAD, DOWN, number(item_bytes)).await?;
        Ok(inbound)
    }

    async fn upload(&self, items: impl Iterator<Item = Bytes> + Send + 'static) -> Result<()> {
        let (outbound, mut inbound) = self.connection.stream(UPLOAD, UP, "").await?;
        for item in items {
            outbound.send(item).await?;
        }
        outbound.finish().await?;
        inbound.next().await.context("an answer comes")??;
        Ok(())
    }
}

/// Adds the server's side of what is not streams of items.
fn serve_calls(builder: ManagerBuilder) -> ManagerBuilder {
    builder
        .single(ECHO, |_, payload| async { Ok(payload) })
        .stream(HOLD, DOWN, |_, _, _, outbound| async move {
            outbound.send(item(0)).await?;
            pending().await
        })
        .stream(DOWNLOAD, DOWN, |_, item_bytes, _, outbound| async move {
            let item = bulk_item(parse_number(&item_bytes).map_err(failed)?);
            loop {
                outbound.send(item.clone()).await?;
            }
        })
        .stream(UPLOAD, UP, |_, _, mut inbound, outbound| async move {
            while let Some(item) = inbound.next().await {
                drop(item?);
            }
            Ok(outbound.send(Bytes::new()).await?)
        })
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
const ECHO: u8 = 4;
const HOLD: u8 = 5;
const DOWNLOAD: u8 = 6;
const UPLOAD: u8 = 7;
/// Where the window is not what is measured, it is the default.
const DOWN: Windows = Windows::responses(Windows::DEFAULT);
const UP: Windows = Windows::requests(Windows::DEFAULT);

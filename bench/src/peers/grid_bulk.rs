//! grid: handlers on bytes for streams that stay open, and for bulk. All settings are the defaults.

use std::future::pending;

use anyhow::{Context, Result};
use bytes::Bytes;
use grid::{ManagerBuilder, RemoteError, Windows};

use super::grid_unary::GridBytes;
use crate::item::{Incoming, bulk_item, item, number, parse_number};
use crate::memory::Hold;
use crate::mixed::{Download, Upload};

impl Hold for GridBytes {
    async fn hold(&self) -> Result<impl Incoming + 'static> {
        let (_, inbound) = self.connection.stream(HOLD, DOWN, "").await?;
        Ok(inbound)
    }
}

impl Download for GridBytes {
    async fn download(&self, item_bytes: u64) -> Result<impl Incoming + 'static> {
        let (_, inbound) = self.connection.stream(DOWNLOAD, DOWN, number(item_bytes)).await?;
        Ok(inbound)
    }
}

impl Upload for GridBytes {
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

/// Adds the server's side.
pub(super) fn serve(builder: ManagerBuilder) -> ManagerBuilder {
    builder
        .stream(HOLD, DOWN, |_, _, _, outbound| async move {
            outbound.send(item(0)).await?;
            pending().await
        })
        .stream(DOWNLOAD, DOWN, |_, item_bytes, _, outbound| async move {
            let item_bytes = parse_number(&item_bytes).map_err(|error| RemoteError::new(error.to_string()))?;
            let item = bulk_item(item_bytes);
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
        .allow_guests([HOLD, DOWNLOAD, UPLOAD].map(Into::into))
}

const HOLD: u8 = 2;
const DOWNLOAD: u8 = 3;
const UPLOAD: u8 = 4;
const DOWN: Windows = Windows::responses(Windows::DEFAULT);
const UP: Windows = Windows::requests(Windows::DEFAULT);

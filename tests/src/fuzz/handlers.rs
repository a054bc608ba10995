//! What the node under test serves: each kind of call, on bytes and by a trait.

use std::future::pending;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, stream};
use grid::{Context, Describe, HandlerId, Inbound, ManagerBuilder, Outbound, RemoteError, Windows};
use serde::{Deserialize, Serialize};

use crate::probe::{ECHO, HANG, Probe, echo};

/// An item with what serde knows of.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Row {
    id: u64,
    name: String,
    #[serde(default)]
    parts: Vec<Option<i16>>,
    kind: Kind,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum Kind {
    Plain,
    Signed(Box<Row>),
    Named { text: String },
}

/// All kinds of methods.
#[grid::service(id = 7)]
pub(super) trait All {
    async fn single(&self, key: &str, bytes: &[u8], rows: Vec<Row>) -> Result<Row, RemoteError>;
    #[rpc(detach)]
    async fn context(&self, cx: &Context) -> usize;
    fn watch(&self, count: u8) -> impl Stream<Item = Result<u32, RemoteError>>;
    #[rpc(window = 3)]
    async fn load(&self, name: &str, rows: Inbound<Row>) -> Result<u64, RemoteError>;
    #[rpc(window = 2)]
    async fn sync(&self, rows: Inbound<Row>, out: Outbound<Row>) -> Result<(), RemoteError>;
}

struct Served(Probe);

impl All for Served {
    async fn single(&self, key: &str, bytes: &[u8], rows: Vec<Row>) -> Result<Row, RemoteError> {
        let visit = self.0.enter();
        let row = rows.into_iter().nth(bytes.len()).ok_or_else(|| RemoteError::new(key));
        visit.finish();
        row
    }

    async fn context(&self, cx: &Context) -> usize {
        ["k", "traceparent"].iter().filter_map(|name| cx.metadata(name)).map(str::len).sum()
    }

    fn watch(&self, count: u8) -> impl Stream<Item = Result<u32, RemoteError>> {
        stream::iter((0..u32::from(count)).map(Ok))
    }

    async fn load(&self, _: &str, mut rows: Inbound<Row>) -> Result<u64, RemoteError> {
        let visit = self.0.enter();
        let mut sum = 0_u64;
        while let Some(row) = rows.next().await {
            sum = sum.wrapping_add(row?.id);
        }
        visit.finish();
        Ok(sum)
    }

    async fn sync(&self, mut rows: Inbound<Row>, out: Outbound<Row>) -> Result<(), RemoteError> {
        let visit = self.0.enter();
        while let Some(row) = rows.next().await {
            out.send(row?).await?;
        }
        visit.finish();
        Ok(())
    }
}

/// Serves all of it. The probe counts the handlers that may last.
pub(super) fn serve(builder: ManagerBuilder, probe: &Probe) -> ManagerBuilder {
    let visits = probe.clone();
    let builder = probe.hang(echo(builder)).single(SLEEPS, move |_, payload: Bytes| {
        let visit = visits.enter();
        async move {
            tokio::time::sleep(Duration::from_millis(payload.len() as u64)).await;
            visit.finish();
            Ok(payload)
        }
    });
    let builder = builder.single(VARIES, |_, payload: Bytes| async move {
        match payload.first() {
            Some(0x80..0xa0) => Ok(Bytes::from(payload.repeat(20))),
            // Not by a hook, which would take it for a finding.
            Some(0xa0..0xb0) => std::panic::resume_unwind(Box::new("as planned")),
            _ => Err(RemoteError::new(String::from_utf8_lossy(&payload))),
        }
    });
    let visits = probe.clone();
    let builder =
        builder.stream(STREAM_ECHO, 4, move |_, first, items, out| echo_items(visits.clone(), first, items, out));
    let visits = probe.clone();
    let builder = builder.stream(STREAM_OUT, Windows::responses(3), move |_, first: Bytes, _, out: Outbound<Bytes>| {
        let visit = visits.enter();
        async move {
            for _ in 0..first.len() {
                out.send(first.clone()).await?;
            }
            visit.finish();
            Ok(())
        }
    });
    let visits = probe.clone();
    let builder = builder.stream(STREAM_HANG, 2, move |_, _, items: Inbound<Bytes>, out: Outbound<Bytes>| {
        let visit = visits.enter();
        async move {
            let _held = (visit, items, out);
            pending().await
        }
    });
    let raw = [ECHO, HANG, SLEEPS, STREAM_ECHO, STREAM_OUT, STREAM_HANG].map(HandlerId::from);
    let builder = builder.allow_guests(raw.into_iter().chain(AllClient::DESCRIPTION.handler_ids()));
    builder.serve(AllServer::new(Served(probe.clone()))).serve_at(ROUTE, AllServer::new(Served(probe.clone())))
}

async fn echo_items(
    probe: Probe,
    first: Bytes,
    mut items: Inbound<Bytes>,
    out: Outbound<Bytes>,
) -> Result<(), RemoteError> {
    let visit = probe.enter();
    out.send(first).await?;
    while let Some(item) = items.next().await {
        out.send(item?).await?;
    }
    visit.finish();
    Ok(())
}

/// Handler ids beside those of [`Probe`].
const SLEEPS: u8 = 12;
/// Fails, panics, or answers much, as its payload begins.
pub(super) const VARIES: u8 = 13;
pub(super) const STREAM_ECHO: u8 = 20;
const STREAM_OUT: u8 = 21;
const STREAM_HANG: u8 = 22;
/// Where the service is served once more.
pub(super) const ROUTE: &str = "disk1";

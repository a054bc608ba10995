//! tarpc: bincode over TCP. Its limits are raised where they would hold up a thousand callers.

use std::net::SocketAddr;

use anyhow::Result;
use futures_util::{StreamExt, stream};
use serde_bytes::ByteBuf;
use tarpc::client::{Config, RpcError};
use tarpc::context::{self, Context};
use tarpc::serde_transport::Transport;
use tarpc::server::{self, BaseChannel, Channel};
use tarpc::tokio_serde::formats::Bincode;

use super::wire::{dial, listen};
use crate::item::{Incoming, bulk_item};
use crate::mixed::Download;
use crate::unary::Echo;

/// What the server does. A `Vec<u8>` would be encoded byte by byte.
#[tarpc::service]
trait Service {
    async fn echo(payload: ByteBuf) -> ByteBuf;

    async fn bulk(bytes: u64) -> ByteBuf;
}

/// A client, whose requests a task of its own sends.
#[derive(Clone)]
pub(crate) struct Tarpc {
    client: ServiceClient,
}

impl Echo for Tarpc {
    type Answer = ByteBuf;

    async fn serve() -> Result<SocketAddr> {
        listen(async |stream| {
            let config = server::Config { pending_response_buffer: CALLS };
            let channel = BaseChannel::new(config, Transport::from((stream, Bincode::default())));
            let spawn = async |request| drop(tokio::spawn(request));
            channel.execute(Server.serve()).for_each(spawn).await;
            Ok(())
        })
        .await
    }

    async fn connect(server: SocketAddr) -> Result<Self> {
        let mut config = Config::default();
        (config.max_in_flight_requests, config.pending_request_buffer) = (CALLS, CALLS);
        let transport = Transport::from((dial(server).await?, Bincode::default()));
        Ok(Self { client: ServiceClient::new(config, transport).spawn() })
    }

    async fn echo(&self, payload: &[u8]) -> Result<ByteBuf> {
        Ok(self.client.echo(context::current(), ByteBuf::from(payload)).await?)
    }
}

impl Download for Tarpc {
    /// It has no streams: one large answer after the other, and one under way meanwhile.
    async fn download(&self, item_bytes: u64) -> Result<impl Incoming + 'static> {
        let client = self.client.clone();
        let call = move || {
            let client = client.clone();
            async move { Ok::<_, RpcError>(client.bulk(context::current(), item_bytes).await?.into_vec().into()) }
        };
        Ok(stream::repeat_with(call).buffered(2).boxed())
    }
}

#[derive(Clone)]
struct Server;

impl Service for Server {
    async fn echo(self, _: Context, payload: ByteBuf) -> ByteBuf {
        payload
    }

    async fn bulk(self, _: Context, bytes: u64) -> ByteBuf {
        ByteBuf::from(bulk_item(bytes))
    }
}

/// Calls that may run and wait at once.
const CALLS: usize = 4096;

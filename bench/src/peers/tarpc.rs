//! tarpc: bincode over TCP. Its limits are raised where they would hold up a thousand callers.

use std::net::SocketAddr;

use anyhow::Result;
use futures_util::StreamExt;
use serde_bytes::ByteBuf;
use tarpc::client::Config;
use tarpc::context::{self, Context};
use tarpc::serde_transport::Transport;
use tarpc::server::{self, BaseChannel, Channel};
use tarpc::tokio_serde::formats::Bincode;

use super::wire::{dial, listen};
use crate::unary::Echo;

/// What the server does. A `Vec<u8>` would be encoded byte by byte.
#[tarpc::service]
trait Service {
    async fn echo(payload: ByteBuf) -> ByteBuf;
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

#[derive(Clone)]
struct Server;

impl Service for Server {
    async fn echo(self, _: Context, payload: ByteBuf) -> ByteBuf {
        payload
    }
}

/// Calls that may run and wait at once.
const CALLS: usize = 4096;

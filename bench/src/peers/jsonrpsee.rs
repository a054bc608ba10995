//! jsonrpsee: JSON-RPC over a WebSocket. The payload is a string, as JSON has no bytes.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use jsonrpsee::RpcModule;
use jsonrpsee::core::client::ClientT;
use jsonrpsee::rpc_params;
use jsonrpsee::server::{Server, ServerConfig};
use jsonrpsee::types::ErrorObjectOwned;
use jsonrpsee_ws_client::{WsClient, WsClientBuilder};

use crate::unary::Echo;

/// A client.
#[derive(Clone)]
pub(crate) struct Jsonrpsee {
    client: Arc<WsClient>,
}

impl Echo for Jsonrpsee {
    type Answer = String;

    async fn serve() -> Result<SocketAddr> {
        let mut module = RpcModule::new(());
        module.register_async_method(ECHO, async |params, _, _| {
            let payload: String = params.one()?;
            Ok::<_, ErrorObjectOwned>(payload)
        })?;
        let config = ServerConfig::builder()
            .max_connections(CONNECTIONS)
            .set_message_buffer_capacity(CALLS)
            .set_tcp_no_delay(true)
            .build();
        let server = Server::builder().set_config(config).build("127.0.0.1:0").await?;
        let address = server.local_addr()?;
        tokio::spawn(server.start(module).stopped());
        Ok(address)
    }

    async fn connect(server: SocketAddr) -> Result<Self> {
        let builder = WsClientBuilder::new().max_concurrent_requests(CALLS as usize).set_tcp_no_delay(true);
        Ok(Self { client: Arc::new(builder.build(format!("ws://{server}")).await?) })
    }

    async fn echo(&self, payload: &[u8]) -> Result<String> {
        Ok(self.client.request(ECHO, rpc_params![str::from_utf8(payload)?]).await?)
    }
}

const ECHO: &str = "echo";
/// Calls that may run and wait at once.
const CALLS: u32 = 4096;
/// Connections at once, which are 100 by default.
const CONNECTIONS: u32 = 4096;

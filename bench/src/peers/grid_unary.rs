//! grid: single calls of a guest to a node, typed and on bytes. All settings are the defaults.

use std::net::{SocketAddr, TcpListener};

use anyhow::Result;
use bytes::Bytes;
use grid::{Connection, Manager, ManagerBuilder, RemoteError};

use super::grid_bulk;
use crate::unary::Echo;

/// What the server does.
#[grid::service(id = 1)]
trait Service {
    async fn echo(&self, payload: Vec<u8>) -> Vec<u8>;
}

/// A client of the service.
#[derive(Clone)]
pub(crate) struct Grid {
    client: ServiceClient,
}

impl Grid {
    pub(super) fn new(connection: Connection) -> Self {
        Self { client: ServiceClient::new(connection) }
    }
}

impl Echo for Grid {
    type Answer = Vec<u8>;

    async fn serve() -> Result<SocketAddr> {
        start(serve_typed).await
    }

    async fn connect(server: SocketAddr) -> Result<Self> {
        Ok(Self::new(grid::connect(format!("http://{server}")).await?))
    }

    async fn echo(&self, payload: &[u8]) -> Result<Vec<u8>> {
        Ok(self.client.echo(payload.to_vec()).await?)
    }
}

/// Adds the server's side.
pub(super) fn serve_typed(builder: ManagerBuilder) -> ManagerBuilder {
    builder.serve(ServiceServer::new(Server)).allow_guests([ServiceClient::ECHO])
}

struct Server;

impl Service for Server {
    async fn echo(&self, payload: Vec<u8>) -> Vec<u8> {
        payload
    }
}

/// A client of a handler on bytes.
#[derive(Clone)]
pub(crate) struct GridBytes {
    pub(super) connection: Connection,
}

impl Echo for GridBytes {
    type Answer = Bytes;

    async fn serve() -> Result<SocketAddr> {
        let echo = async |_, payload: Bytes| Ok::<_, RemoteError>(payload);
        start(move |builder| grid_bulk::serve(builder.single(ECHO, echo).allow_guests([ECHO.into()])))
            .await
    }

    async fn connect(server: SocketAddr) -> Result<Self> {
        Ok(Self { connection: grid::connect(format!("http://{server}")).await? })
    }

    async fn echo(&self, payload: &[u8]) -> Result<Bytes> {
        Ok(self.connection.single(ECHO, payload).await?)
    }
}

/// Starts a node that serves this.
async fn start(serve: impl FnOnce(ManagerBuilder) -> ManagerBuilder) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let builder = Manager::builder(format!("http://{address}")).listener(listener);
    let node = serve(builder).start().await?;
    tokio::spawn(async move { node.closed().await });
    Ok(address)
}

const ECHO: u8 = 1;

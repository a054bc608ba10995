//! Peers over TLS.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;

use anyhow::Result;
use bytes::Bytes;
use grid::{BoxIo, Connector, Manager};
use tokio::net::{TcpListener, TcpStream};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity, Server, ServerTlsConfig};
use tower::service_fn;

use super::grid_unary::{Grid, serve_typed};
use super::tonic::{Tonic, serve};
use super::wire::{Incoming, Outgoing, Wire, accept, connect, dial, halves};
use crate::tls::{self, pem};
use crate::unary::Echo;

/// A message is one of a WebSocket over TLS.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SecureWebSocket;

impl Wire for SecureWebSocket {
    async fn accept(stream: TcpStream) -> Result<(impl Outgoing, impl Incoming)> {
        Ok(halves(accept(tls::accept(stream).await?).await?))
    }

    async fn connect(stream: TcpStream) -> Result<(impl Outgoing, impl Incoming)> {
        Ok(halves(connect(tls::connect(stream).await?).await?))
    }
}

/// Two nodes of a mesh with names of `https://`, between which grid sends no checksums.
#[derive(Clone)]
pub(crate) struct SecureGrid {
    grid: Grid,
    _node: Manager,
}

impl Echo for SecureGrid {
    type Answer = Vec<u8>;

    async fn serve() -> Result<SocketAddr> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let builder = Manager::builder(SERVER).peers([CLIENT]).connector(Tls { server: address });
        let node = serve_typed(builder).build()?;
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            node.accept(tls::accept(stream).await?).await;
            anyhow::Ok(())
        });
        Ok(address)
    }

    async fn connect(server: SocketAddr) -> Result<Self> {
        let node = Manager::builder(CLIENT).peers([SERVER]).connector(Tls { server }).build()?;
        let connection = node.connection(SERVER)?;
        connection.ready().await?;
        Ok(Self { grid: Grid::new(connection), _node: node })
    }

    async fn echo(&self, payload: &[u8]) -> Result<Vec<u8>> {
        self.grid.echo(payload).await
    }
}

/// Connects to the one server that there is.
struct Tls {
    server: SocketAddr,
}

impl Connector for Tls {
    fn connect<'a>(&'a self, _: &'a str) -> Pin<Box<dyn Future<Output = io::Result<BoxIo>> + Send + 'a>> {
        Box::pin(async {
            let stream = tls::connect(dial(self.server).await.map_err(io::Error::other)?).await;
            Ok(Box::new(stream.map_err(io::Error::other)?) as BoxIo)
        })
    }
}

/// tonic, with its own TLS.
#[derive(Clone)]
pub(crate) struct SecureTonic {
    tonic: Tonic,
}

impl Echo for SecureTonic {
    type Answer = Bytes;

    async fn serve() -> Result<SocketAddr> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let identity = Identity::from_pem(pem().certificate, pem().key);
        let server = Server::builder().tls_config(ServerTlsConfig::new().identity(identity))?;
        let serving = server.serve_with_incoming(service_fn(serve), incoming);
        tokio::spawn(async { serving.await.expect("the server goes on until the process ends") });
        Ok(address)
    }

    async fn connect(server: SocketAddr) -> Result<Self> {
        let tls =
            ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem().certificate)).domain_name(tls::NAME);
        let channel = Endpoint::try_from(format!("https://{server}"))?.tls_config(tls)?.connect().await?;
        Ok(Self { tonic: Tonic::new(channel) })
    }

    async fn echo(&self, payload: &[u8]) -> Result<Bytes> {
        self.tonic.echo(payload).await
    }
}

/// Who of two nodes dials follows from their names. These are such that the client does.
const SERVER: &str = "https://server";
const CLIENT: &str = "https://caller";

//! tonic: gRPC with messages that are bare bytes, so without protobuf and without a router. All settings are the
//! defaults, which include `TCP_NODELAY`.

use std::convert::Infallible;
use std::net::SocketAddr;

use anyhow::Result;
use bytes::{Buf, BufMut, Bytes};
use futures_util::{Stream, StreamExt, stream};
use http::uri::PathAndQuery;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status, Streaming, client, server};
use tower::service_fn;

use crate::item::{Check, Incoming, bulk_item, item, number, parse_number};
use crate::memory::Hold;
use crate::mixed::{Download, Upload};
use crate::streams::{Outgoing, Streams};
use crate::unary::Echo;

/// A channel to a server: one connection.
#[derive(Clone)]
pub(crate) struct Tonic {
    channel: Channel,
}

impl Tonic {
    pub(crate) async fn start() -> Result<Self> {
        Self::connect(Self::serve().await?).await
    }

    pub(super) fn new(channel: Channel) -> Self {
        Self { channel }
    }

    async fn client(&self) -> Result<client::Grpc<Channel>> {
        let mut client = client::Grpc::new(self.channel.clone());
        client.ready().await?;
        Ok(client)
    }
}

impl Echo for Tonic {
    type Answer = Bytes;

    async fn serve() -> Result<SocketAddr> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let serving = Server::builder().serve_with_incoming(service_fn(serve), incoming);
        tokio::spawn(async { serving.await.expect("the server goes on until the process ends") });
        Ok(address)
    }

    async fn connect(server: SocketAddr) -> Result<Self> {
        Ok(Self::new(Endpoint::try_from(format!("http://{server}"))?.connect().await?))
    }

    async fn echo(&self, payload: &[u8]) -> Result<Bytes> {
        let (request, path) = (Request::new(Bytes::copy_from_slice(payload)), PathAndQuery::from_static(ECHO));
        Ok(self.client().await?.unary(request, path, BytesCodec).await?.into_inner())
    }
}

impl Hold for Tonic {
    async fn hold(&self) -> Result<impl Incoming + 'static> {
        let (request, path) = (Request::new(Bytes::new()), PathAndQuery::from_static(HOLD));
        Ok(self.client().await?.server_streaming(request, path, BytesCodec).await?.into_inner())
    }
}

impl Download for Tonic {
    async fn download(&self, item_bytes: u64) -> Result<impl Incoming + 'static> {
        let (request, path) = (Request::new(number(item_bytes)), PathAndQuery::from_static(DOWNLOAD));
        Ok(self.client().await?.server_streaming(request, path, BytesCodec).await?.into_inner())
    }
}

impl Upload for Tonic {
    async fn upload(&self, items: impl Iterator<Item = Bytes> + Send + 'static) -> Result<()> {
        let (request, path) = (Request::new(stream::iter(items)), PathAndQuery::from_static(UPLOAD));
        self.client().await?.client_streaming(request, path, BytesCodec).await?;
        Ok(())
    }
}

impl Streams for Tonic {
    async fn responses(&self, count: u64) -> Result<impl Incoming> {
        let (request, path) = (Request::new(number(count)), PathAndQuery::from_static(RESPONSES));
        Ok(self.client().await?.server_streaming(request, path, BytesCodec).await?.into_inner())
    }

    async fn requests(&self, count: u64) -> Result<u64> {
        let items = stream::iter((0..count).map(item));
        let (request, path) = (Request::new(items), PathAndQuery::from_static(REQUESTS));
        let answer = self.client().await?.client_streaming(request, path, BytesCodec).await?;
        parse_number(answer.get_ref())
    }

    async fn exchange(&self) -> Result<(impl Outgoing, impl Incoming)> {
        let (outgoing, items) = mpsc::channel(1);
        let (request, path) = (Request::new(ReceiverStream::new(items)), PathAndQuery::from_static(EXCHANGE));
        let answer = self.client().await?.streaming(request, path, BytesCodec).await?;
        Ok((outgoing, answer.into_inner()))
    }
}

impl Outgoing for mpsc::Sender<Bytes> {
    async fn send(&mut self, item: Bytes) -> Result<()> {
        Ok(Self::send(self, item).await?)
    }

    async fn finish(self) -> Result<()> {
        drop(self);
        Ok(())
    }
}

/// The server: what the generated code of a service does.
pub(super) async fn serve(request: http::Request<Body>) -> Result<http::Response<Body>, Infallible> {
    let mut server = server::Grpc::new(BytesCodec);
    Ok(match request.uri().path() {
        ECHO => server.unary(service_fn(echo), request).await,
        RESPONSES => server.server_streaming(service_fn(responses), request).await,
        REQUESTS => server.client_streaming(service_fn(requests), request).await,
        HOLD => server.server_streaming(service_fn(hold), request).await,
        DOWNLOAD => server.server_streaming(service_fn(download), request).await,
        UPLOAD => server.client_streaming(service_fn(upload), request).await,
        EXCHANGE => server.streaming(service_fn(exchange), request).await,
        _ => Status::unimplemented("there is no such method").into_http(),
    })
}

async fn echo(request: Request<Bytes>) -> Answers<Bytes> {
    Ok(Response::new(request.into_inner()))
}

async fn hold(_: Request<Bytes>) -> Answers<impl Items> {
    Ok(Response::new(stream::iter([Ok(item(0))]).chain(stream::pending())))
}

async fn download(request: Request<Bytes>) -> Answers<impl Items> {
    let item = bulk_item(parse_number(request.get_ref()).map_err(failed)?);
    Ok(Response::new(stream::repeat_with(move || Ok(item.clone()))))
}

async fn upload(request: Request<Streaming<Bytes>>) -> Answers<Bytes> {
    let mut items = request.into_inner();
    while let Some(item) = items.next().await {
        drop(item?);
    }
    Ok(Response::new(Bytes::new()))
}

async fn responses(request: Request<Bytes>) -> Answers<impl Items> {
    let count = parse_number(request.get_ref()).map_err(failed)?;
    Ok(Response::new(stream::iter((0..count).map(|number| Ok(item(number))))))
}

async fn requests(request: Request<Streaming<Bytes>>) -> Answers<Bytes> {
    let count = Check::default().all(request.into_inner()).await.map_err(failed)?;
    Ok(Response::new(number(count)))
}

async fn exchange(request: Request<Streaming<Bytes>>) -> Answers<impl Items> {
    let mut check = Check::default();
    Ok(Response::new(request.into_inner().map(move |item| {
        let item = item?;
        check.item(&item).map_err(failed)?;
        Ok(item)
    })))
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn failed(error: anyhow::Error) -> Status {
    Status::internal(error.to_string())
}

type Answers<T> = Result<Response<T>, Status>;

trait Items: Stream<Item = Result<Bytes, Status>> + Send {}

impl<S: Stream<Item = Result<Bytes, Status>> + Send> Items for S {}

/// A message is its bytes. They are copied once on their way out, and not on their way in.
#[derive(Debug, Clone, Copy, Default)]
struct BytesCodec;

impl Codec for BytesCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

const ECHO: &str = "/bench.Unary/Echo";
const RESPONSES: &str = "/bench.Streams/Responses";
const REQUESTS: &str = "/bench.Streams/Requests";
const EXCHANGE: &str = "/bench.Streams/Exchange";
const HOLD: &str = "/bench.Memory/Hold";
const DOWNLOAD: &str = "/bench.Mixed/Download";
const UPLOAD: &str = "/bench.Mixed/Upload";

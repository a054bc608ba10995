//! From a byte stream to a WebSocket: the HTTP part of a connection.

use std::time::SystemTime;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::machine::TryParse;
use tokio_tungstenite::tungstenite::handshake::server::{Request, create_response, write_response};
use tokio_tungstenite::tungstenite::http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, http};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::node::Settings;
use super::socket::Socket;
use crate::error::LinkError;
use crate::limits::Limits;

/// Asks the node of this name for a WebSocket, and waits for its answer: v1 peers lose what is sent before it.
pub(crate) async fn dial(
    socket: Socket,
    name: &str,
    settings: &Settings,
) -> Result<WebSocketStream<Socket>, LinkError> {
    let unusable = |problem: String| LinkError::Unreachable { peer: name.into(), problem: problem.into() };
    let scheme = if name.starts_with("https://") { "wss://" } else { "ws://" };
    let authority = name.split_once("://").map_or(name, |(_, authority)| authority);
    let url = format!("{scheme}{authority}{}", settings.route);
    let mut request = url.into_client_request().map_err(|error| unusable(error.to_string()))?;
    let token = (settings.token_source)(name);
    let bearer = HeaderValue::try_from(format!("Bearer {token}")).map_err(|error| unusable(error.to_string()))?;
    request.headers_mut().insert(AUTHORIZATION, bearer);
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let nanos = HeaderValue::try_from(since.as_nanos().to_string()).map_err(|error| unusable(error.to_string()))?;
    request.headers_mut().insert(TIME, nanos);
    match client_async_with_config(request, socket, Some(websocket_config(&settings.limits))).await {
        Ok((ws, _)) => Ok(ws),
        Err(tungstenite::Error::Http(response)) => Err(LinkError::Rejected(response.status().to_string().into())),
        Err(error) => Err(unusable(error.to_string())),
    }
}

/// Reads the request for a WebSocket and answers it.
///
/// # Errors
/// What was wrong with the request; the other side has been told.
pub(crate) async fn accept(mut socket: Socket, settings: &Settings) -> Result<WebSocketStream<Socket>, LinkError> {
    let mut head = Vec::with_capacity(1024);
    let (size, request) = loop {
        match Request::try_parse(&head) {
            Ok(Some(parsed)) => break parsed,
            Ok(None) if head.len() > HEAD_BYTES_MAX => return refuse(socket, http::StatusCode::BAD_REQUEST).await,
            Ok(None) => {}
            Err(_) => return refuse(socket, http::StatusCode::BAD_REQUEST).await,
        }
        match socket.read_buf(&mut head).await {
            Ok(0) => return Err(LinkError::Closed("end of stream in the request".into())),
            Ok(_) => {}
            Err(error) => return Err(LinkError::Closed(error.to_string().into())),
        }
    };
    let response = match answer(&request, &settings.route) {
        Ok(response) => response,
        Err(status) => return refuse(socket, status).await,
    };
    let mut bytes = Vec::new();
    write_response(&mut bytes, &response).map_err(|error| LinkError::Closed(error.to_string().into()))?;
    socket.write_all(&bytes).await.map_err(|error| LinkError::Closed(error.to_string().into()))?;
    // A dialler that does not wait for the answer loses nothing.
    let rest = head.split_off(size);
    Ok(WebSocketStream::from_partially_read(socket, rest, Role::Server, Some(websocket_config(&settings.limits))).await)
}

/// The answer to a request for a WebSocket at this route.
pub(crate) fn answer(request: &Request, route: &str) -> Result<http::Response<()>, http::StatusCode> {
    if request.uri().path() != route {
        return Err(http::StatusCode::NOT_FOUND);
    }
    create_response(request).map_err(|error| match error {
        tungstenite::Error::Protocol(ProtocolError::MissingSecWebSocketVersionHeader) => {
            http::StatusCode::UPGRADE_REQUIRED
        }
        _ => http::StatusCode::BAD_REQUEST,
    })
}

/// Messages and fragments within the limits; a read buffer that costs an idle link little.
pub(crate) fn websocket_config(limits: &Limits) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_message_size(Some(limits.message_bytes_max))
        .max_frame_size(Some(limits.message_bytes_max))
}

async fn refuse<T>(mut socket: Socket, status: http::StatusCode) -> Result<T, LinkError> {
    let text = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let told = async {
        socket.write_all(text.as_bytes()).await?;
        socket.shutdown().await
    };
    told.await.map_err(|error| LinkError::Closed(error.to_string().into()))?;
    Err(LinkError::Rejected(status.to_string().into()))
}

/// v1's embedder compares it with its own clock.
const TIME: HeaderName = HeaderName::from_static("x-minio-time");
/// The longest request head that is read; browsers send less.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// One read takes up to this much. Half of it is a full merge of a v1 peer.
const READ_BUFFER: usize = 16 << 10;

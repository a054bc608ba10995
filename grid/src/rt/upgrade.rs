//! From a byte stream to a WebSocket: the HTTP part of a connection.

use std::time::SystemTime;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tungstenite::client::IntoClientRequest;
use tungstenite::error::ProtocolError;
use tungstenite::handshake::client::{Response, generate_request};
use tungstenite::handshake::derive_accept_key;
use tungstenite::handshake::machine::TryParse;
use tungstenite::handshake::server::{Request, create_response, write_response};
use tungstenite::http;
use tungstenite::http::header::{
    AUTHORIZATION, CONNECTION, HeaderName, HeaderValue, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS,
    SEC_WEBSOCKET_PROTOCOL, UPGRADE,
};

use super::node::Settings;
use super::socket::{Socket, WebSocket, closed};
use super::websocket::Masks;
use crate::error::LinkError;

/// Asks the node of this name for a WebSocket, and waits for its answer: v1 peers lose what is sent before it.
pub(crate) async fn dial(
    mut socket: Socket,
    name: &str,
    token: &str,
    settings: &Settings,
) -> Result<WebSocket, LinkError> {
    let unusable =
        |problem: &dyn ToString| LinkError::Unreachable { peer: name.into(), problem: problem.to_string().into() };
    let request = request(name, token, settings).map_err(|error| unusable(&error))?;
    let (bytes, key) = generate_request(request).map_err(|error| unusable(&error))?;
    socket.write_all(&bytes).await.map_err(|error| closed(&error))?;
    socket.flush().await.map_err(|error| closed(&error))?;
    let (response, rest): (Response, _) = match read_head(&mut socket).await? {
        Ok(head) => head,
        Err(Malformed) => return Err(unusable(&"it does not answer in HTTP/1.1")),
    };
    if response.status() != http::StatusCode::SWITCHING_PROTOCOLS {
        return Err(LinkError::Rejected(format!("{} at {}", response.status(), settings.route).into()));
    }
    if !is_upgraded(response.headers(), &key) {
        return Err(unusable(&"it does not answer as a WebSocket server"));
    }
    Ok(WebSocket::new(socket, Masks::Yes, &rest, settings.limits.message_bytes_max))
}

/// Whether the other side understood the request. Nothing beyond the bare protocol was offered, so nothing may be taken.
fn is_upgraded(headers: &http::HeaderMap, key: &str) -> bool {
    let is = |name, wanted: &str| {
        headers.get(name).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(wanted.as_bytes()))
    };
    let accept = headers.get(SEC_WEBSOCKET_ACCEPT).map(HeaderValue::as_bytes);
    is(UPGRADE, "websocket")
        && is(CONNECTION, "upgrade")
        && accept == Some(derive_accept_key(key.as_bytes()).as_bytes())
        && !headers.contains_key(SEC_WEBSOCKET_PROTOCOL)
        && !headers.contains_key(SEC_WEBSOCKET_EXTENSIONS)
}

/// The request in the form of v1.
fn request(name: &str, token: &str, settings: &Settings) -> Result<http::Request<()>, tungstenite::Error> {
    let scheme = if name.starts_with("https://") { "wss" } else { "ws" };
    let authority = name.split_once("://").map_or(name, |(_, authority)| authority);
    let mut request = format!("{scheme}://{authority}{}", settings.route).into_client_request()?;
    let since = settings.clock.now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let headers = request.headers_mut();
    headers.insert(AUTHORIZATION, HeaderValue::try_from(format!("Bearer {token}"))?);
    headers.insert(TIME, HeaderValue::try_from(since.as_nanos().to_string())?);
    Ok(request)
}

/// Reads the request for a WebSocket and answers it.
///
/// # Errors
/// What was wrong with the request; the other side has been told.
pub(crate) async fn accept(mut socket: Socket, settings: &Settings) -> Result<WebSocket, LinkError> {
    let (request, rest): (Request, _) = match read_head(&mut socket).await? {
        Ok(head) => head,
        Err(Malformed) => return refuse(socket, http::StatusCode::BAD_REQUEST).await,
    };
    let response = match answer(&request, &settings.route) {
        Ok(response) => response,
        Err(status) => return refuse(socket, status).await,
    };
    let mut bytes = Vec::new();
    write_response(&mut bytes, &response).map_err(|error| LinkError::Closed(error.to_string().into()))?;
    socket.write_all(&bytes).await.map_err(|error| closed(&error))?;
    socket.flush().await.map_err(|error| closed(&error))?;
    // A dialler that does not wait for the answer loses nothing.
    Ok(WebSocket::new(socket, Masks::No, &rest, settings.limits.message_bytes_max))
}

/// The answer to a request for a WebSocket at this route.
pub(crate) fn answer(request: &Request, route: &str) -> Result<http::Response<()>, http::StatusCode> {
    if request.uri().path() != route {
        return Err(http::StatusCode::NOT_FOUND);
    }
    // Nodes send no origin. Browsers do, and would connect from any page that a user inside the network opens.
    if request.headers().contains_key(ORIGIN) {
        return Err(http::StatusCode::FORBIDDEN);
    }
    create_response(request).map_err(|error| match error {
        tungstenite::Error::Protocol(ProtocolError::MissingSecWebSocketVersionHeader) => {
            http::StatusCode::UPGRADE_REQUIRED
        }
        _ => http::StatusCode::BAD_REQUEST,
    })
}

/// What was read is not the head of an HTTP/1.1 message, or is too long for one.
struct Malformed;

/// Reads the head of a request or response, and gives what was read behind it.
async fn read_head<T: TryParse>(socket: &mut Socket) -> Result<Result<(T, Vec<u8>), Malformed>, LinkError> {
    let mut head = Vec::with_capacity(1024);
    let mut parsed_len = 0;
    loop {
        let read = socket.read_buf(&mut head).await.map_err(|error| closed(&error))?;
        if read == 0 {
            return match T::try_parse(&head) {
                Err(_) => Ok(Err(Malformed)),
                Ok(_) => Err(LinkError::Closed("end of stream in the upgrade".into())),
            };
        }
        // It is parsed from its beginning, so not for each byte that comes.
        let new = head.get(head.len().saturating_sub(read + HEAD_ENDS[0].len())..).unwrap_or_default();
        let may_end = HEAD_ENDS.iter().any(|end| new.windows(end.len()).any(|part| part == *end));
        if !may_end && head.len() < 2 * parsed_len && head.len() <= HEAD_BYTES_MAX {
            continue;
        }
        parsed_len = head.len();
        match T::try_parse(&head) {
            Ok(Some((size, parsed))) => return Ok(Ok((parsed, head.split_off(size)))),
            Ok(None) if head.len() <= HEAD_BYTES_MAX => {}
            Ok(None) | Err(_) => return Ok(Err(Malformed)),
        }
    }
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
/// With an empty line, of which a carriage return may be missing.
const HEAD_ENDS: [&[u8]; 2] = [b"\n\r\n", b"\n\n"];
/// The longest request head that is read; browsers send less.
const HEAD_BYTES_MAX: usize = 16 << 10;

//! Byte streams between nodes.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;

use tokio::net::{TcpListener, TcpStream};
use tungstenite::http::uri::Authority;

pub use crate::rt::{BoxIo, Io};

/// Opens byte streams to peers, given their names. The default one speaks TCP.
///
/// Give one of your own to [`ManagerBuilder::connector`](crate::ManagerBuilder::connector) for Unix sockets, tunnels,
/// or links in memory for tests; TLS, if the node has certificates, is spoken over it; hand what arrives at the other
/// end to [`Manager::accept`](crate::Manager::accept).
pub trait Connector: Send + Sync + 'static {
    /// Opens a byte stream to the node of this name.
    ///
    /// # Cancel safety
    /// It is dropped when [`Timeouts::handshake`](crate::Timeouts::handshake) has passed.
    fn connect<'a>(&'a self, name: &'a str) -> Pin<Box<dyn Future<Output = io::Result<BoxIo>> + Send + 'a>>;
}

/// Connects by TCP to the host and port of a name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tcp;

impl Connector for Tcp {
    fn connect<'a>(&'a self, name: &'a str) -> Pin<Box<dyn Future<Output = io::Result<BoxIo>> + Send + 'a>> {
        Box::pin(async move {
            let address = NodeName::parse(name).map_err(io::Error::other)?;
            let stream = TcpStream::connect((&*address.host, address.port)).await?;
            tune(&stream)?;
            Ok(Box::new(stream) as BoxIo)
        })
    }
}

/// Where connections come from.
pub(crate) enum Listener {
    Tcp(TcpListener),
    #[cfg(feature = "sim")]
    Simulated(crate::sim::Listener),
}

impl Listener {
    /// A connection, and the address that it comes from.
    ///
    /// # Errors
    /// The system gives no connection just now.
    pub(crate) async fn accept(&self) -> io::Result<(BoxIo, Option<SocketAddr>)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                if let Err(error) = tune(&stream) {
                    tracing::debug!(target: "grid::link", %error, "cannot set the options of a socket");
                }
                Ok((Box::new(stream), Some(address)))
            }
            #[cfg(feature = "sim")]
            Self::Simulated(listener) => Ok((listener.accept().await, None)),
        }
    }
}

/// Sets what a link wants of TCP: nothing waits for more, and little waits in the system, where it could not be overtaken.
pub(crate) fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket2::SockRef::from(stream).set_tcp_notsent_lowat(UNSENT_BYTES)?;
    Ok(())
}

/// Bytes that the system takes beyond what it can send at once: two writes of a link, so that it has one while the next
/// is put together. Left to itself it takes megabytes, behind which pings and small calls would wait.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNSENT_BYTES: u32 = 128 << 10;

/// The parts of the name of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NodeName {
    pub(crate) scheme: Scheme,
    pub(crate) host: Box<str>,
    pub(crate) port: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Https,
}

impl NodeName {
    /// # Errors
    /// What is wrong with the name.
    pub(crate) fn parse(name: &str) -> Result<Self, &'static str> {
        let (scheme, authority) = match name.split_once("://") {
            Some(("http", authority)) => (Scheme::Http, authority),
            Some(("https", authority)) => (Scheme::Https, authority),
            _ => return Err("it must begin with http:// or https://"),
        };
        if authority.contains(['/', '?', '#', '@']) {
            return Err("it must end after the host and port, without a slash or path");
        }
        let authority: Authority = authority.parse().map_err(|_| "it has no valid host")?;
        let host = authority.host();
        let port = match authority.as_str().strip_prefix(host).unwrap_or_default() {
            "" if scheme == Scheme::Https => 443,
            "" => 80,
            port => parse_port(port).filter(|port| *port > 0).ok_or("its port is not a number from 1 to 65535")?,
        };
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if host.is_empty() || host.contains(['[', ']']) {
            return Err("it has no valid host");
        }
        Ok(Self { scheme, host: host.into(), port })
    }
}

/// Digits behind a colon; a sign is not one.
fn parse_port(port: &str) -> Option<u16> {
    let digits = port.strip_prefix(':')?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_urls_of_a_host_and_a_port() {
        let parsed = |name| NodeName::parse(name).map(|name| (name.host, name.port));
        assert_eq!(parsed("http://127.0.0.1:9000"), Ok(("127.0.0.1".into(), 9000)));
        assert_eq!(parsed("https://node-1.example"), Ok(("node-1.example".into(), 443)));
        assert_eq!(parsed("http://node-1"), Ok(("node-1".into(), 80)));
        assert_eq!(parsed("http://[::1]:9001"), Ok(("::1".into(), 9001)));
        assert_eq!(parsed("http://[::1]"), Ok(("::1".into(), 80)));
        for bad in [
            "",
            "127.0.0.1:9000",
            "ftp://a:1",
            "http://",
            "http://:1",
            "http://a:1/",
            "http://a:1/x",
            "http://a:x",
            "http://a:99999",
            "http://a:0",
            "http://u@a:1",
        ] {
            assert!(NodeName::parse(bad).is_err(), "{bad:?}");
        }
    }
}

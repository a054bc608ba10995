//! A scripted peer by its name, which makes links with the node under test.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;

use grid::{BoxIo, Connector};
use rmpv::Value;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use twox_hash::XxHash3_64;

use super::frame::{Frame, op};
use super::hello::{Hello, connect_response};
use super::http::{Head, accept_key};
use super::peer::{RawPeer, Role, within};
use super::rig::Setup;

/// The route of the captures.
pub const ROUTE: &str = "/minio/grid/v1";

/// What the node under test does for the link with a scripted peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Accepts,
    Dials,
}

/// Both, for tests in either direction.
pub const SIDES: [Side; 2] = [Side::Accepts, Side::Dials];

/// Whether the node `local` dials `remote`.
pub fn dials(local: &str, remote: &str) -> bool {
    let one_way = |first: &str, second: &str| XxHash3_64::oneshot(format!("{first}{second}").as_bytes());
    (one_way(local, remote), local) < (one_way(remote, local), remote)
}

/// Connects to sockets of loopback by the names of nodes.
#[derive(Debug, Default, Clone)]
pub struct AddressBook {
    addresses: HashMap<String, SocketAddr>,
}

impl AddressBook {
    pub fn add(&mut self, name: &str, address: SocketAddr) {
        self.addresses.insert(name.to_owned(), address);
    }
}

impl Connector for AddressBook {
    fn connect<'a>(&'a self, name: &'a str) -> Pin<Box<dyn Future<Output = io::Result<BoxIo>> + Send + 'a>> {
        Box::pin(async move { Ok(Box::new(tcp(self.addresses[name], Window::Usual).await?) as BoxIo) })
    }
}

/// A peer that is played by hand.
#[derive(Debug)]
pub struct Script {
    pub name: String,
    /// The name of the node under test.
    pub node: String,
    pub side: Side,
    /// What it announces; v1 peers nothing.
    pub caps: Option<u64>,
    /// Where the node listens.
    pub node_address: SocketAddr,
    /// Where the node finds the peer.
    pub listener: TcpListener,
    pub window: Window,
}

/// How much the peer's system takes of what the peer does not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    Usual,
    /// A few kilobytes.
    Narrow,
}

impl Script {
    /// A peer of the node, whose name begins so and is such that the node has its side of the link.
    pub fn new(node: &str, listener: &TcpListener, setup: Setup, prefix: &str) -> Self {
        let peers = (0..).map(|number| format!("{}://{prefix}-{number}:1", setup.scheme));
        let mut fitting = peers.filter(|peer| dials(node, peer) == (setup.side == Side::Dials));
        Self {
            name: fitting.next().expect("names do not end"),
            node: node.to_owned(),
            side: setup.side,
            caps: setup.caps,
            node_address: listener.local_addr().expect("it is bound"),
            listener: listen(setup.window),
            window: setup.window,
        }
    }

    /// A link whose handshake is over.
    pub async fn link(&self) -> RawPeer {
        let mut peer = self.websocket().await;
        match self.side {
            Side::Accepts => {
                peer.send(&self.hello().connect()).await;
                let answer = peer.recv().await;
                assert_eq!((answer.op, answer.text("RejectedReason")), (op::CONNECT_RESPONSE, String::new()));
                assert_eq!(answer.field("Accepted"), Some(Value::Boolean(true)));
            }
            Side::Dials => {
                self.recv_connect(&mut peer).await;
                peer.send(&connect_response("", self.caps)).await;
            }
        }
        peer
    }

    /// A WebSocket before the handshake.
    pub async fn websocket(&self) -> RawPeer {
        let mut peer = self.stream().await;
        match self.side {
            Side::Accepts => {
                peer.send_bytes(&self.upgrade().encode()).await;
                let answer = peer.recv_head().await;
                assert_eq!(answer.status(), 101, "{answer:?}");
                assert_eq!(answer.header("Sec-WebSocket-Accept"), Some(&*accept_key(super::http::KEY)));
            }
            Side::Dials => {
                let request = peer.recv_head().await;
                assert_eq!(request.line, format!("GET {ROUTE} HTTP/1.1"));
                peer.send_bytes(&Head::switching(&request).encode()).await;
            }
        }
        peer
    }

    /// A byte stream without a word on it.
    pub async fn stream(&self) -> RawPeer {
        let (stream, role) = match self.side {
            Side::Accepts => (tcp(self.node_address, self.window).await, Role::Dialler),
            Side::Dials => (self.accept().await, Role::Acceptor),
        };
        let peer = RawPeer::new(Box::new(stream.expect("loopback connects")), role);
        let secure = [&self.name, &self.node].iter().all(|name| name.starts_with("https://"));
        if secure { peer.without_crc() } else { peer }
    }

    /// What the peer says of itself when it dials.
    pub fn hello(&self) -> Hello {
        Hello { caps: self.caps.map(Into::into), ..Hello::new(&self.name) }
    }

    /// The peer's request for a WebSocket.
    pub fn upgrade(&self) -> Head {
        let (_, host) = self.node.split_once("://").expect("the name of a node is a URL");
        Head::upgrade(ROUTE, host, "debug")
    }

    /// The first message of a node that dials.
    pub async fn recv_connect(&self, peer: &mut RawPeer) -> Frame {
        let connect = peer.recv().await;
        assert_eq!((connect.op, connect.text("Host")), (op::CONNECT, self.node.clone()));
        connect
    }

    async fn accept(&self) -> io::Result<TcpStream> {
        let (stream, _) = within("the node to dial", self.listener.accept()).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// A port of loopback that nobody else has.
pub fn listen(window: Window) -> TcpListener {
    let listener = socket(window).and_then(|socket| {
        socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        socket.listen(128)
    });
    listener.expect("loopback has a free port")
}

async fn tcp(address: SocketAddr, window: Window) -> io::Result<TcpStream> {
    let stream = socket(window)?.connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn socket(window: Window) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    if window == Window::Narrow {
        socket.set_recv_buffer_size(4096)?;
    }
    Ok(socket)
}

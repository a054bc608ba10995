//! A node under test between two scripted peers: one that misbehaves, and a good one that must not feel it.

use std::future::ready;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use grid::{CallError, Connection, LinkError, Manager, ManagerBuilder, RemoteError, State};
use tokio::task::JoinHandle;

use super::captured::as_captured;
use super::frame::Frame;
use super::gate::{Gate, Visit};
use super::peer::{PATIENCE, RawPeer, within};
use super::script::{AddressBook, ROUTE, Script, Side, Window, listen};

/// Answers with what it gets; nil with nil.
pub const ECHO: u32 = 10;
/// Waits at [`Rig::gate`], then answers with what it got.
pub const GATE: u32 = 13;
/// Waits until the rig is taken down.
const WITNESS: u8 = 9;

/// A node under test, and its peers.
pub struct Rig {
    pub node: Manager,
    /// The peer that a test plays.
    pub script: Script,
    /// Where calls of [`GATE`] wait.
    pub gate: Gate,
    witness: Option<Witness>,
}

/// A peer with a call under way in each direction, on one link from beginning to end.
struct Witness {
    peer: RawPeer,
    gate: Gate,
    served: JoinHandle<Result<Bytes, CallError<RemoteError>>>,
    request: Frame,
}

/// What there is to choose about a [`Rig`].
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    /// What the node does.
    pub side: Side,
    /// What the peer announces; v1 peers nothing.
    pub caps: Option<u64>,
    /// `http`, or `https` for names between which there are no checksums.
    pub scheme: &'static str,
    pub window: Window,
}

impl Setup {
    /// A v1 peer.
    pub fn new(side: Side) -> Self {
        Self { side, caps: None, scheme: "http", window: Window::Usual }
    }

    /// Starts the node, with further settings.
    pub async fn start(self, change: impl FnOnce(ManagerBuilder) -> ManagerBuilder) -> Rig {
        eprintln!("{self:?}");
        let node = format!("{}://node:1", self.scheme);
        let listener = listen(Window::Usual);
        let script = Script::new(&node, &listener, self, "peer");
        let other = Script::new(&node, &listener, Self { scheme: self.scheme, ..Self::new(Side::Accepts) }, "witness");

        let mut book = AddressBook::default();
        book.add(&script.name, script.listener.local_addr().expect("it is bound"));
        let (gate, witness_gate) = (Gate::default(), Gate::default());
        let builder = Manager::builder(node)
            .peers([&*script.name, &*other.name])
            .route(ROUTE)
            .token_source(|_| ready("debug".to_owned()))
            .connector(book)
            .listener(listener.into_std().expect("a listener of tokio is one of the system"))
            .timeouts(|timeouts| {
                timeouts.reconnect_min = Duration::from_millis(1);
                timeouts.reconnect_max = Duration::from_millis(3);
                // No pings but those of the test.
                timeouts.ping_interval = Duration::from_secs(3600);
                timeouts.dead_after = Duration::from_secs(7200);
            });
        let pass = witness_gate.clone();
        let builder = as_captured(builder, &gate).single(WITNESS, move |_, payload: Bytes| {
            let pass = pass.clone();
            async move {
                pass.pass(payload.clone()).await;
                Ok(payload)
            }
        });
        let node = change(builder).start().await.expect("the node starts");
        let witness = Witness::new(&other, &node, witness_gate).await;
        Rig { node, script, gate, witness: Some(witness) }
    }
}

impl Rig {
    /// A node and a v1 peer.
    pub async fn new(side: Side) -> Self {
        Setup::new(side).start(|builder| builder).await
    }

    /// A node and a peer that announces these capabilities.
    pub async fn with(side: Side, caps: Option<u64>, change: impl FnOnce(ManagerBuilder) -> ManagerBuilder) -> Self {
        Setup { caps, ..Setup::new(side) }.start(change).await
    }

    /// A link with the peer that the test plays.
    pub async fn link(&self) -> RawPeer {
        let peer = self.script.link().await;
        within("the node to see the link", self.connection().ready()).await.expect("the node is not shut down");
        peer
    }

    /// The node's connection with that peer.
    pub fn connection(&self) -> Connection {
        self.node.connection(&self.script.name).expect("it is a peer")
    }

    /// Calls the peer in a task.
    pub fn call(&self, handler: u8, payload: &'static str) -> JoinHandle<Result<Bytes, CallError<RemoteError>>> {
        let connection = self.connection();
        tokio::spawn(async move { connection.single(handler, payload).await })
    }

    /// Waits until there is no link, and gives the reason.
    pub async fn ended(&self) -> LinkError {
        let mut states = self.connection().changes();
        let ended = async {
            loop {
                match states.next().await {
                    Some(State::Disconnected(Some(why))) => return why,
                    Some(_) => {}
                    None => panic!("the node is shut down"),
                }
            }
        };
        within("the link to end", ended).await
    }

    /// Waits until the link has ended since the peer broke the protocol or went beyond a limit, and tells which.
    pub async fn violated(&self) -> String {
        match self.ended().await {
            LinkError::Protocol(fault) => fault.into(),
            why @ LinkError::LimitExceeded { .. } => why.to_string(),
            why => panic!("the link ended otherwise: {why:?}"),
        }
    }

    /// Waits until nothing is left of any call with the peer that the test plays.
    pub async fn idle(&self) {
        idle(&self.connection()).await;
    }

    /// Nobody else on the node has felt anything: calls of another peer that were under way all the time end well.
    pub async fn finish(mut self) {
        self.finish_witness().await;
    }

    /// The same, with the rig to be used further: only the peer that the test plays has calls from now on.
    pub async fn finish_witness(&mut self) {
        let Witness { mut peer, gate, served, request } = self.witness.take().expect("it has not ended before");
        peer.fence().await;
        gate.let_through(1);
        let answer = peer.recv().await;
        assert_eq!(answer, Frame { flags: answer.flags, ..Frame::response(1, "under way") });
        peer.send(&Frame { flags: answer.flags, ..Frame::response(request.mux, "answer") }).await;
        let answer = within("the call to the witness", served).await.expect("it does not panic");
        assert_eq!(answer, Ok(Bytes::from("answer")));
        peer.fence().await;
    }
}

/// Waits until nothing is left of any call.
pub async fn idle(connection: &Connection) {
    let left = || {
        let stats = connection.stats();
        [stats.calls_in, stats.calls_out, stats.unread_bytes, stats.queued_bytes]
    };
    let idle = async {
        while left() != [0; 4] {
            tokio::task::yield_now().await;
        }
    };
    let idle = tokio::time::timeout(PATIENCE, idle).await;
    idle.unwrap_or_else(|_| panic!("calls in and out, bytes unread and queued: {:?}", left()));
}

impl Witness {
    async fn new(script: &Script, node: &Manager, gate: Gate) -> Self {
        let mut peer = script.link().await;
        peer.send(&Frame::request(1, WITNESS.into(), "under way")).await;
        gate.expect(Visit::Started, "under way").await;
        let connection = node.connection(&script.name).expect("it is a peer");
        let served = tokio::spawn(async move { connection.single(WITNESS, "question").await });
        let request = peer.recv().await;
        assert_eq!((request.handler, &*request.payload), (WITNESS.into(), &b"question"[..]));
        Self { peer, gate, served, request }
    }
}

//! Nodes whose links are pipes in memory, for virtual time.

use std::future::{Future, pending};
use std::io;
use std::pin::Pin;
use std::sync::Mutex;

use futures_util::StreamExt;
use grid::{BoxIo, Connector, LinkError, Manager, ManagerBuilder, State};
use grid_tests::mesh::only;
use grid_tests::raw::{
    Frame, Head, Hello, LengthForm, ROUTE, RawPeer, Role, Side, connect_response, dials, opcode, within,
};
use tokio::io::duplex;

/// The name of the node under test.
pub(crate) const NODE: &str = "http://node:1";

/// The name of a peer that dials the node, or is dialled by it.
pub(crate) fn peer_name(side: Side) -> String {
    let names = (0..).map(|number| format!("http://peer-{number}:1"));
    names.into_iter().find(|peer| dials(NODE, peer) == (side == Side::Dials)).expect("names do not end")
}

pub(crate) fn accepting(change: impl FnOnce(ManagerBuilder) -> ManagerBuilder) -> Manager {
    change(Manager::builder(NODE).peers([peer_name(Side::Accepts)]).route(ROUTE)).build().expect("it can be built")
}

/// A node that dials over these streams, the last one first.
pub(crate) fn dialling(streams: Vec<BoxIo>) -> Manager {
    let builder = Manager::builder(NODE).peers([peer_name(Side::Dials)]).route(ROUTE);
    builder.connector(Given(Mutex::new(streams))).build().expect("it can be built")
}

/// A stream that the node has taken in, which holds so many bytes that nobody reads.
pub(crate) fn dial(node: &Manager, bytes: usize) -> RawPeer {
    let (near, far) = duplex(bytes);
    let node = node.clone();
    tokio::spawn(async move { node.accept(far).await });
    RawPeer::new(Box::new(near), Role::Dialler)
}

pub(crate) fn upgrade() -> Vec<u8> {
    Head::upgrade(ROUTE, "node:1", "debug").encode()
}

/// The bytes of the first message of the peer.
pub(crate) fn first(peer: &RawPeer) -> Vec<u8> {
    peer.ws(opcode::BINARY, Hello::new(&peer_name(Side::Accepts)).connect().encode()).encode(LengthForm::Shortest)
}

/// A link in either direction, and the node that has it.
pub(crate) async fn linked(side: Side, bytes: usize) -> (Manager, RawPeer) {
    let (node, peer) = match side {
        Side::Accepts => {
            let node = accepting(|builder| builder);
            let mut peer = dial(&node, bytes);
            peer.send_bytes(&upgrade()).await;
            assert_eq!(peer.recv_head().await.status(), 101);
            peer.send_bytes(&first(&peer)).await;
            assert_eq!(peer.recv().await.text("RejectedReason"), "");
            (node, peer)
        }
        Side::Dials => {
            let (near, far) = duplex(bytes);
            let node = dialling(vec![Box::new(far)]);
            let mut peer = RawPeer::new(Box::new(near), Role::Acceptor);
            let request = peer.recv_head().await;
            peer.send_bytes(&Head::switching(&request).encode()).await;
            let _connect: Frame = peer.recv().await;
            peer.send(&connect_response("", None)).await;
            (node, peer)
        }
    };
    within("the link", only(&node).ready()).await.expect("the node is not shut down");
    (node, peer)
}

/// Why there is no link.
pub(crate) async fn shown(node: &Manager) -> LinkError {
    let mut states = only(node).changes();
    let reason = async {
        loop {
            if let Some(State::Disconnected(Some(why))) = states.next().await {
                return why;
            }
        }
    };
    within("the end of a link or an attempt", reason).await
}

/// Gives the streams it is given, and then none, ever.
struct Given(Mutex<Vec<BoxIo>>);

impl Connector for Given {
    fn connect<'a>(&'a self, _: &'a str) -> Pin<Box<dyn Future<Output = io::Result<BoxIo>> + Send + 'a>> {
        Box::pin(async move {
            let given = self.0.lock().unwrap().pop();
            match given {
                Some(io) => Ok(io),
                None => pending().await,
            }
        })
    }
}

//! A node on a router with other routes.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use grid::{CallError, Manager, ManagerBuilder, Tls};
use grid_tests::mesh::{Place, only, quick};
use grid_tests::raw::{Bytes as Counted, ECHO, Frame, Head, Hello, ROUTE, RawPeer, Role, dials, listen, op, within};
use tokio::net::{TcpListener, TcpStream};

const NODE: &str = "http://node:1";

struct Mounted {
    node: Manager,
    peer: String,
    address: SocketAddr,
}

/// A node that only listens by way of a router.
async fn mounted() -> Mounted {
    mounted_with(|builder| builder).await
}

async fn mounted_with(change: impl FnOnce(ManagerBuilder) -> ManagerBuilder) -> Mounted {
    let peers = (0..).map(|number| format!("http://peer-{number}:1"));
    let peer = peers.into_iter().find(|peer| dials(peer, NODE)).expect("names do not end");
    let builder = change(Manager::builder(NODE).peers([&*peer]).route(ROUTE));
    let node = builder.single(10_u8, |_, payload: Bytes| async { Ok(payload) }).build().expect("it can be built");
    let app = Router::new().route("/health", get(|| async { "ok" })).merge(node.router());
    let listener = listen(grid_tests::raw::Window::Usual);
    let address = listener.local_addr().expect("it is bound");
    serve(listener, app);
    Mounted { node, peer, address }
}

fn serve(listener: TcpListener, app: Router) {
    tokio::spawn(async move { axum::serve(listener, app).await.expect("it serves") });
}

impl Mounted {
    async fn ask(&self, head: &Head) -> (RawPeer, Head) {
        let stream = TcpStream::connect(self.address).await.expect("loopback connects");
        let mut peer = RawPeer::new(Box::new(stream), Role::Dialler);
        peer.send_bytes(&head.encode()).await;
        let answer = peer.recv_head().await;
        (peer, answer)
    }

    async fn link(&self) -> RawPeer {
        let (mut peer, answer) = self.ask(&good()).await;
        assert_eq!(answer.status(), 101);
        peer.send(&Hello::new(&self.peer).connect()).await;
        assert_eq!(peer.recv().await.text("RejectedReason"), "");
        peer
    }
}

fn good() -> Head {
    Head::upgrade(ROUTE, "node:1", "debug")
}

#[tokio::test]
async fn a_node_on_a_router_talks_to_its_peer_and_the_other_route_is_served() {
    let mounted = mounted().await;
    let mut peer = mounted.link().await;
    peer.send(&Frame::request(1, ECHO, "hello")).await;
    assert_eq!(peer.recv().await, Frame::response(1, "hello"));
    let connection = only(&mounted.node);
    within("the link", connection.ready()).await.unwrap();
    let call = tokio::spawn(async move { connection.single(7_u8, "question").await });
    let mux = peer.recv().await.mux;
    peer.send(&Frame::response(mux, "answer")).await;
    assert_eq!(call.await.unwrap().unwrap(), "answer");

    let health = Head::new("GET /health HTTP/1.1", &[("Host", "node"), ("Connection", "close")]);
    let (_, answer) = mounted.ask(&health).await;
    assert_eq!((answer.status(), answer.header("Content-Length")), (200, Some("2")));
    peer.fence().await;
}

#[tokio::test]
async fn what_is_no_upgrade_is_refused_on_a_router_as_well() {
    let mounted = mounted().await;
    let cases = [
        (Head { line: "GET /elsewhere HTTP/1.1".to_owned(), ..good() }, 404),
        (good().without("Upgrade"), 400),
        (good().without("Connection"), 400),
        (good().without("Sec-WebSocket-Key"), 400),
        (Head { line: format!("POST {ROUTE} HTTP/1.1"), ..good() }, 400),
        (good().with("Sec-WebSocket-Version", "8"), 426),
        (good().without("Sec-WebSocket-Version"), 426),
    ];
    for (head, status) in cases {
        let (_, answer) = mounted.ask(&head).await;
        assert_eq!(answer.status(), status, "{head:?}");
    }
    let offers = good().with("Sec-WebSocket-Extensions", "permessage-deflate").with("Sec-WebSocket-Protocol", "chat");
    let (_, answer) = mounted.ask(&offers).await;
    assert_eq!(answer.status(), 101);
    assert_eq!(answer.header("Sec-WebSocket-Extensions"), None);
    assert_eq!(answer.header("Sec-WebSocket-Protocol"), None);
    mounted.link().await.fence().await;
}

#[tokio::test]
async fn a_browser_is_turned_away_by_a_router_as_well() {
    let mounted = mounted().await;
    let (_, answer) = mounted.ask(&good().with("Origin", "http://node:1")).await;
    assert_eq!(answer.status(), 403);
    mounted.link().await;
}

#[tokio::test]
async fn who_comes_when_all_handshakes_are_taken_is_told_so_by_a_router() {
    let mounted = mounted_with(|builder| {
        // None is given up for another one here.
        let builder = builder.timeouts(|timeouts| timeouts.handshake = Duration::from_secs(24 * 3600));
        builder.limits(|limits| limits.handshakes_max = 1)
    })
    .await;
    let (mut first, answer) = mounted.ask(&good()).await;
    assert_eq!(answer.status(), 101);
    for turned_away in 1..=3 {
        let (_, answer) = mounted.ask(&good()).await;
        assert_eq!(answer.status(), 503);
        let stats = mounted.node.stats();
        assert_eq!((stats.limit_hits.handshakes_max, stats.turned_away), (turned_away, turned_away));
    }
    first.send(&Hello::new(&mounted.peer).connect()).await;
    assert_eq!(first.recv().await.text("RejectedReason"), "");
    first.fence().await;
    mounted.link().await.fence().await;
}

#[tokio::test]
async fn a_rejection_reads_the_same_on_a_router() {
    let mounted = mounted().await;
    let (mut peer, answer) = mounted.ask(&good()).await;
    assert_eq!(answer.status(), 101);
    peer.send(&Hello::new("http://stranger:1").connect()).await;
    let rejected = peer.recv().await;
    assert_eq!(rejected.op, op::CONNECT_RESPONSE);
    assert_eq!(rejected.text("RejectedReason"), "unknown incoming host: http://stranger:1");
    peer.closed().await;
}

#[tokio::test]
async fn a_link_over_a_router_ends_with_its_node_and_no_other_begins() {
    let mounted = mounted().await;
    let mut peer = mounted.link().await;
    within("the shutdown", mounted.node.shutdown()).await;
    peer.closed().await;
    let (mut peer, answer) = mounted.ask(&good()).await;
    // Whatever it answers: there is no link.
    if answer.status() == 101 {
        assert_eq!(peer.recv_to_end().await, []);
    }
    let health = Head::new("GET /health HTTP/1.1", &[("Host", "node"), ("Connection", "close")]);
    assert_eq!(mounted.ask(&health).await.1.status(), 200);
}

#[tokio::test]
async fn two_nodes_on_routers_call_each_other() {
    let places = [Place::new(), Place::new()];
    let mut nodes = Vec::new();
    for (own, other) in [(0, 1), (1, 0)] {
        let builder = quick(Manager::builder(&*places[own].name)).peers([&*places[other].name]);
        let node = builder.single(10_u8, |_, payload: Bytes| async { Ok(payload) }).build().expect("it can be built");
        let listener = places[own].listener.try_clone().expect("a descriptor is free");
        listener.set_nonblocking(true).unwrap();
        serve(TcpListener::from_std(listener).unwrap(), node.router());
        nodes.push(node);
    }
    for node in &nodes {
        let connection = only(node);
        within("the link", connection.ready()).await.unwrap();
        assert_eq!(connection.single(10_u8, "hello").await, Ok(Bytes::from("hello")));
        assert!(matches!(connection.single(11_u8, "").await, Err(CallError::Refused(_))));
    }
}

#[tokio::test]
async fn bytes_over_a_router_are_counted_from_the_websocket_on() {
    let mounted = mounted().await;
    let (mut peer, _) = mounted.ask(&good()).await;
    let http = peer.bytes();
    peer.send(&Hello::new(&mounted.peer).connect()).await;
    peer.recv().await;
    peer.send(&Frame::request(1, ECHO, vec![7; 10_000])).await;
    peer.recv().await;
    peer.fence().await;
    let stats = only(&mounted.node).stats();
    let all = peer.bytes();
    let wanted = Counted { read: all.read - http.read, written: all.written - http.written };
    assert_eq!(Counted { read: stats.bytes_out, written: stats.bytes_in }, wanted);
}

/// At its own port certificates prove the names of other nodes, and on a router nothing would.
#[tokio::test]
async fn a_node_with_certificates_and_no_secret_takes_nobody_on_a_router_for_another_node() {
    const SECURED: &str = "https://node:1";
    let peers = (0..).map(|number| format!("https://peer-{number}:1"));
    let peer = peers.into_iter().find(|peer| dials(peer, SECURED)).expect("names do not end");
    let own = rcgen::generate_simple_self_signed(["node".to_owned()]).expect("it can be made");
    let builder = || {
        let tls =
            Tls::new(own.cert.pem()).and_then(|tls| tls.identity(own.cert.pem(), own.signing_key.serialize_pem()));
        Manager::builder(SECURED).peers([&*peer]).route(ROUTE).tls(tls.expect("they fit"))
    };
    let judged = builder().token_validator(|_| async { Ok(()) });
    for (builder, rejected) in [(builder(), "this node has neither a secret nor a validator"), (judged, "")] {
        let node = builder.build().expect("it can be built");
        let listener = listen(grid_tests::raw::Window::Usual);
        let address = listener.local_addr().expect("it is bound");
        serve(listener, node.router());
        let mounted = Mounted { node, peer: peer.clone(), address };
        let (mut thief, answer) = mounted.ask(&good()).await;
        assert_eq!(answer.status(), 101);
        thief.send(&Hello::new(&mounted.peer).connect()).await;
        let reason = thief.recv().await.text("RejectedReason");
        assert!(reason.starts_with(rejected) && reason.is_empty() == rejected.is_empty(), "{reason}");
    }
}

//! What cannot be built or started, in the words in which it is said.

use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use grid::{ConnectError, Context, Limits, Manager, ManagerBuilder, RemoteError, StartError, Timeouts};
use grid_tests::memory::Network;
use grid_tests::mesh::{Place, only, soon};
use grid_tests::probe::echo;

const NAME: &str = "http://127.0.0.1:1";

#[grid::service(id = 3)]
trait Disk {
    async fn name(&self) -> String;
}

#[grid::service(id = 3)]
trait Tape {
    async fn rewind(&self);
}

struct Device;

impl Disk for Device {
    async fn name(&self) -> String {
        "device".into()
    }
}

impl Tape for Device {
    async fn rewind(&self) {}
}

fn error(builder: ManagerBuilder) -> StartError {
    builder.build().expect_err("it cannot be built")
}

fn text(builder: ManagerBuilder) -> String {
    error(builder).to_string()
}

fn node() -> ManagerBuilder {
    Manager::builder(NAME)
}

#[tokio::test]
async fn a_name_that_is_no_url_of_host_and_port_is_an_error() {
    let scheme = "it must begin with http:// or https://";
    let path = "it must end after the host and port, without a slash or path";
    let host = "it has no valid host";
    let port = "its port is not a number from 1 to 65535";
    for (name, problem) in [
        ("", scheme),
        ("127.0.0.1:9000", scheme),
        ("ftp://a:1", scheme),
        ("HTTP://a:1", scheme),
        ("http://a:1/", path),
        ("http://a:1/x", path),
        ("http://u@a:1", path),
        ("http://a:x", port),
        ("http://a:65536", port),
        ("http://a:", port),
        ("http://", host),
        ("http://:1", host),
    ] {
        let wanted = format!("{name:?} is not the name of a node: {problem}");
        assert_eq!(text(Manager::builder(name)), wanted);
        assert_eq!(text(node().peers([name])), wanted, "of a peer");
        let guest = grid::connect(name).await.expect_err("of the node of a guest");
        assert_eq!(guest.to_string(), wanted);
    }
}

#[tokio::test]
async fn a_name_whose_port_or_host_only_looks_right_is_an_error() {
    for name in ["http://a:+1", "http://a::1", "http://[::1", "http://a]:1", "http://[]:1", "http://a b:1"] {
        assert!(matches!(error(Manager::builder(name)), StartError::InvalidName { .. }), "{name}");
    }
}

#[tokio::test]
async fn https_without_a_connector_that_speaks_it_is_an_error() {
    let wanted = "https://127.0.0.1:2 needs TLS, and neither certificates nor a connector that speaks it were given";
    assert_eq!(text(node().peers(["https://127.0.0.1:2"])), wanted);
    let guest = grid::connect("https://127.0.0.1:2").await.expect_err("there is no connector");
    assert_eq!(guest, ConnectError::Start(StartError::NoTls("https://127.0.0.1:2".into())));
    let with_connector = node().peers(["https://127.0.0.1:2"]).connector(Network::default());
    assert!(with_connector.build().is_ok());
}

#[tokio::test]
async fn a_route_that_is_no_absolute_path_is_an_error() {
    for route in ["", "grid", "grid/v1", "/grid v1", "/grid?v=1", "/grid#1"] {
        let wanted = format!("the route {route:?} is not an absolute path such as /grid/v1");
        assert_eq!(text(node().route(route)), wanted);
    }
    assert!(node().route("/minio/grid/v1").build().is_ok());
}

#[tokio::test]
async fn each_limit_that_cannot_work_is_named() {
    type Change = fn(&mut Limits);
    let cases: [(Change, &str); 15] = [
        (|limits| limits.message_bytes_max = 1023, "message_bytes_max cannot be 1023: at least 1 KiB"),
        (|limits| limits.message_bytes_max = (1 << 30) + 1, "message_bytes_max cannot be 1073741825: at most 1 GiB"),
        (|limits| limits.outbox_bytes_max = 1023, "outbox_bytes_max cannot be 1023: at least 1 KiB"),
        (|limits| limits.outbox_bytes_max = 1 << 31, "outbox_bytes_max cannot be 2147483648: at most 1 GiB"),
        (|limits| limits.control_bytes_max = 1023, "control_bytes_max cannot be 1023: at least 1 KiB"),
        (|limits| limits.merge_frames_max = 50, "merge_frames_max cannot be 50: at least 51, which peers write"),
        (|limits| limits.calls_out_max = 0, "calls_out_max cannot be 0: at least 1"),
        (
            |limits| limits.calls_out_max = (1 << 20) + 1,
            "calls_out_max cannot be 1048577: at most 1,048,576: a mux id keeps 20 bits for it",
        ),
        (|limits| limits.calls_in_max = 0, "calls_in_max cannot be 0: at least 1"),
        (|limits| limits.calls_in_bytes_max = 1023, "calls_in_bytes_max cannot be 1023: at least 1 KiB"),
        (|limits| limits.calls_in_total_max = 0, "calls_in_total_max cannot be 0: at least 1"),
        (|limits| limits.unread_bytes_max = 1023, "unread_bytes_max cannot be 1023: at least 1 KiB"),
        (|limits| limits.guests_max = 0, "guests_max cannot be 0: at least 1"),
        (|limits| limits.handshakes_max = 0, "handshakes_max cannot be 0: at least 1"),
        (
            |limits| limits.handshakes_max = usize::MAX,
            "handshakes_max cannot be 18446744073709551615: at most 1,048,576",
        ),
    ];
    for (change, wanted) in cases {
        assert_eq!(text(node().limits(change)), wanted);
    }
    assert!(node().limits(|limits| limits.message_bytes_max = 1024).build().is_ok());
}

#[tokio::test]
async fn each_timeout_that_cannot_work_is_named() {
    type Change = fn(&mut Timeouts);
    let cases: [(Change, &str); 14] = [
        (|timeouts| timeouts.call = Duration::ZERO, "call cannot be 0ns: more than zero"),
        (|timeouts| timeouts.handshake = Duration::ZERO, "handshake cannot be 0ns: more than zero"),
        (|timeouts| timeouts.ping_interval = Duration::ZERO, "ping_interval cannot be 0ns: more than zero"),
        (
            |timeouts| timeouts.stream_ping_interval = Duration::ZERO,
            "stream_ping_interval cannot be 0ns: more than zero",
        ),
        (|timeouts| timeouts.write = Duration::ZERO, "write cannot be 0ns: more than zero"),
        (|timeouts| timeouts.reconnect_min = Duration::ZERO, "reconnect_min cannot be 0ns: more than zero"),
        (|timeouts| timeouts.drain = Duration::from_secs(31_536_001), "drain cannot be 31536001s: at most a year"),
        (|timeouts| timeouts.call = Duration::from_secs(31_536_001), "call cannot be 31536001s: at most a year"),
        (|timeouts| timeouts.write = Duration::from_secs(31_536_001), "write cannot be 31536001s: at most a year"),
        (|timeouts| timeouts.dead_after = Duration::from_secs(9), "dead_after cannot be 9s: at least ping_interval"),
        (
            |timeouts| timeouts.stream_dead_after = Duration::from_secs(14),
            "stream_dead_after cannot be 14s: at least stream_ping_interval",
        ),
        (
            |timeouts| timeouts.stream_abandoned_after = Duration::from_secs(14),
            "stream_abandoned_after cannot be 14s: at least stream_ping_interval",
        ),
        (
            |timeouts| timeouts.reconnect_max = Duration::from_millis(999),
            "reconnect_max cannot be 999ms: at least reconnect_min",
        ),
        (
            |timeouts| timeouts.reconnect_min = Duration::from_secs(3),
            "reconnect_max cannot be 2s: at least reconnect_min",
        ),
    ];
    for (change, wanted) in cases {
        assert_eq!(text(node().timeouts(change)), wanted);
    }
    assert!(node().timeouts(|timeouts| timeouts.drain = Duration::ZERO).build().is_ok(), "no drain at all");
}

#[tokio::test]
async fn two_handlers_of_one_id_are_an_error_that_names_both() {
    assert_eq!(text(echo(echo(node()))), "handler 10 is served twice, by raw handler 10 and by raw handler 10");
    let services = node().serve(DiskServer::new(Device)).serve(TapeServer::new(Device));
    assert_eq!(text(services), "handler 3.1 is served twice, by Disk.name and by Tape.rewind");
    let raw = |_: Context, payload: Bytes| async { Ok::<_, RemoteError>(payload) };
    let raw = node().serve(DiskServer::new(Device)).single(grid::HandlerId::new(3, 1), raw);
    assert_eq!(text(raw), "handler 3.1 is served twice, by Disk.name and by raw handler 3.1");
    let subroutes = node().serve_at("disk1", DiskServer::new(Device)).serve_at("disk1", DiskServer::new(Device));
    assert_eq!(text(subroutes), "handler 3.1 under subroute \"disk1\" is served twice, by Disk.name and by Disk.name");
}

#[tokio::test]
async fn one_service_may_be_served_plainly_and_under_several_subroutes() {
    let node = node().serve(DiskServer::new(Device)).serve_at("disk1", DiskServer::new(Device));
    assert!(node.serve_at("disk2", DiskServer::new(Device)).serve_at("", TapeServer::new(Device)).build().is_ok());
}

#[tokio::test]
async fn ids_that_mean_nothing_are_an_error() {
    let raw = |_: Context, payload: Bytes| async { Ok::<_, RemoteError>(payload) };
    let wanted = "handler id 0 of raw handler 0 cannot be served: methods count from 1, services to 254";
    assert_eq!(text(node().single(0_u8, raw)), wanted);
    let wanted = "handler id 255.1 of raw handler 255.1 cannot be served: methods count from 1, services to 254";
    assert_eq!(text(node().single(grid::HandlerId::new(255, 1), raw)), wanted);
}

#[tokio::test]
async fn a_port_that_is_taken_is_an_error() {
    let place = Place::new();
    let taken = Manager::builder(place.name.clone()).start().await.expect_err("the port is taken");
    let address = place.name.trim_start_matches("http://");
    let error = TcpListener::bind(address).expect_err("the port is taken");
    assert_eq!(taken.to_string(), format!("cannot listen at {address}: {error}"));
    let elsewhere = Manager::builder(place.name.clone()).listen("no such host:1").start().await;
    let elsewhere = elsewhere.expect_err("there is no such host").to_string();
    assert!(elsewhere.starts_with("cannot listen at no such host:1: "), "{elsewhere}");
}

/// The first fault that the user can do something about, and no side effect before it.
#[tokio::test]
async fn a_node_that_cannot_be_built_does_not_listen() {
    let place = Place::new();
    let unbuilt = echo(echo(Manager::builder(place.name.clone()))).start().await.expect_err("it cannot be built");
    assert!(matches!(unbuilt, StartError::DuplicateHandler { .. }), "{unbuilt}");
}

#[test]
fn without_a_runtime_a_node_does_not_start() {
    let wanted = "a node must be started inside a tokio runtime";
    assert_eq!(text(node()), wanted);
    let started = Place::new().builder().start().now_or_never().expect("there is nothing to wait for");
    assert_eq!(started.expect_err("there is no runtime").to_string(), wanted);
    let started = node().start().now_or_never().expect("there is nothing to wait for");
    assert_eq!(started.expect_err("there is no runtime").to_string(), wanted);
    let guest = grid::connect(NAME).into_future().now_or_never().expect("there is nothing to wait for");
    assert_eq!(guest.expect_err("there is no runtime").to_string(), wanted);
}

#[tokio::test]
async fn a_peer_that_a_node_was_not_built_with_is_unknown() {
    let node = node().peers(["http://127.0.0.1:2", NAME]).build().expect("its own name among the peers is passed over");
    let unknown = node.connection("http://127.0.0.1:3").expect_err("it is not a peer");
    assert_eq!(unknown.to_string(), format!("\"http://127.0.0.1:3\" is not a peer of {NAME}"));
    assert!(node.connection(NAME).is_err(), "nor is the node itself");
    assert_eq!(node.connections().count(), 1);
    assert_eq!(only(&node).remote(), "http://127.0.0.1:2");
}

#[tokio::test]
async fn a_secret_of_no_bytes_is_an_error() {
    assert_eq!(text(node().shared_secret("")), "the shared secret is empty");
    assert_eq!(text(node().shared_secret("secret").guest_secret("")), "the shared secret is empty");
    let alone = "guests need a secret, and whoever says that he is a node needs none";
    assert_eq!(text(node().guest_secret("secret")), alone);
    let guest = grid::connect(NAME).shared_secret("").await.expect_err("it has no secret");
    assert_eq!(guest, ConnectError::Start(StartError::EmptySecret));
}

#[tokio::test]
async fn guests_cannot_be_allowed_what_is_not_served() {
    let message = "guests are allowed to call handler 9, and nothing is served under it";
    assert_eq!(text(echo(node()).allow_guests([9_u8.into()])), message);
    assert_eq!(text(node().serve(DiskServer::new(Device)).allow_guests([9_u8.into(), DiskClient::NAME])), message);
    assert!(node().serve_at("a", DiskServer::new(Device)).allow_guests([DiskClient::NAME]).build().is_ok());
}

/// Behind something that speaks TLS it is told where to listen.
#[tokio::test]
async fn an_https_node_without_certificates_does_not_listen_at_its_name() {
    let error = Manager::builder("https://127.0.0.1:1").start().await.expect_err("it would listen in the clear");
    assert_eq!(error, StartError::NoTls("https://127.0.0.1:1".into()));
    assert!(Manager::builder("https://127.0.0.1:1").listen("127.0.0.1:0").start().await.is_ok());
}

/// A port of loopback that the system gives to nobody for a while, as a connection has just ended there; who asks for it by
/// its number can have it.
fn reserved() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = listener.local_addr().expect("it is bound");
    let mut near = TcpStream::connect(address).expect("loopback connects");
    let (far, _) = listener.accept().expect("somebody has connected");
    // Who closes first remembers the connection.
    drop(far);
    assert_eq!(near.read(&mut [0]).expect("it was closed"), 0);
    address
}

#[tokio::test]
async fn a_node_listens_at_its_name_or_where_it_is_told() {
    let urls = [(); 2].map(|()| format!("http://{}", reserved()));
    let at_its_name = Manager::builder(&*urls[0]);
    let elsewhere = node().listen(urls[1].trim_start_matches("http://"));
    for (node, url) in [at_its_name, elsewhere].into_iter().zip(urls) {
        let _node = node.allow_guests([]).start().await.expect("the port is free");
        assert!(soon(grid::connect(url).into_future()).await.is_ok());
    }
}

//! Nodes and guests over TLS, with certificates that are made here. Under virtual time.

use std::future::{Future, IntoFuture};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use grid::{
    BoxIo, ConnectError, Connection, Connector, Context, LinkError, Manager, ManagerBuilder, StartError, State, Tls,
    TlsError,
};
use grid_tests::log::Log;
use grid_tests::memory::{LINK_BYTES, Network, dials, within};
use grid_tests::probe::{ECHO, echo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, duplex, split};
use tokio::time::{Instant, sleep};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tracing::Level;

/// The one of the two that dials the other comes first.
const NODES: [&str; 2] = ["https://node-1.example:1", "https://node-2.example:1"];
/// Answers with the name of its caller.
const WHO: u8 = 30;

/// Signs certificates.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        // Else all authorities have the same name, and are taken for one.
        params.distinguished_name.push(DnType::CommonName, format!("authority {}", fastrand::u64(..)));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Trusts what this one has signed, and has no certificate.
    fn stranger(&self) -> Tls {
        Tls::new(self.0.pem()).unwrap()
    }

    /// The same without a [`Tls`] of grid, for these versions of TLS.
    fn unproven(&self, versions: &[&'static SupportedProtocolVersion]) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let config = config.with_protocol_versions(versions).unwrap();
        TlsConnector::from(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
    }

    /// Trusts what this one has signed, as a host of this name.
    fn host(&self, name: &str) -> Tls {
        self.host_with(CertificateParams::new([name.to_owned()]).unwrap())
    }

    fn host_with(&self, params: CertificateParams) -> Tls {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        self.stranger().identity(certificate.pem(), key.serialize_pem()).unwrap()
    }
}

fn names() -> [&'static str; 2] {
    let [first, second] = NODES;
    if dials(first, second) { [first, second] } else { [second, first] }
}

fn host(name: &str) -> &str {
    name.strip_prefix("https://").and_then(|name| name.split(':').next()).unwrap()
}

fn who(builder: ManagerBuilder) -> ManagerBuilder {
    let name = |cx: Context, _: Bytes| async move { Ok(Bytes::copy_from_slice(cx.caller().as_bytes())) };
    echo(builder).allow_guests([ECHO, WHO].map(Into::into)).single(WHO, name)
}

/// Nodes of these names with these certificates; the first dials the second.
fn nodes(network: &Network, [first, second]: [Tls; 2]) -> [Manager; 2] {
    let [dialling, dialled] = names();
    let second = who(network.builder(dialled)).peers([dialling]).tls(second).build().expect("it starts");
    network.add(&second);
    let first = who(network.builder(dialling)).peers([dialled]).tls(first).build().expect("it starts");
    [first, second]
}

/// The second of the two nodes alone.
fn lone(network: &Network, tls: Tls) -> Manager {
    let node = who(network.builder(names()[1])).tls(tls).build().expect("it starts");
    network.add(&node);
    node
}

fn connection(node: &Manager) -> Connection {
    node.connections().next().expect("it has a peer")
}

/// Why the first attempt of a node to connect failed.
async fn failure(node: &Manager) -> LinkError {
    within(async {
        loop {
            match connection(node).state() {
                State::Disconnected(Some(why)) => return why,
                _ => sleep(Duration::from_millis(1)).await,
            }
        }
    })
    .await
}

/// What the node of this name has logged as warnings.
fn warnings(log: &Log, local: &str) -> Vec<String> {
    let entries = log.all().into_iter().filter(|entry| entry.level <= Level::WARN && entry.field("local") == local);
    entries.map(|entry| entry.field("why").to_owned()).collect()
}

/// The first node cannot connect: what its state and its log say, and what the log of the second. No node would start with
/// a certificate for another host, so they have these ones from just after their start on.
async fn refused(certificates: [Tls; 2]) -> (String, [Vec<String>; 2]) {
    let (log, _guard) = Log::listen();
    let network = Network::default();
    let own = names().map(|name| Authority::new().host(host(name)));
    let [first, second] = nodes(&network, own.clone());
    for (own, new) in own.iter().zip(&certificates) {
        own.replace(new).expect("there is a certificate");
    }
    let why = failure(&first).await.to_string();
    // Until it has tried some times.
    within(async {
        while network.dials().len() < 5 {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    let logged = names().map(|name| warnings(&log, name));
    first.shutdown().await;
    second.shutdown().await;
    (why, logged)
}

fn assert_refused((why, [dialling, dialled]): &(String, [Vec<String>; 2]), told: &str, heard: &str) {
    assert!(why.contains(told), "{why}");
    assert!(dialling.len() == 1 && dialling[0].contains(told), "{dialling:?}");
    assert!(dialled.len() == 1 && dialled[0].contains(heard), "{dialled:?}");
}

async fn caller(connection: &Connection) -> String {
    let name = within(connection.single(WHO, "").into_future()).await.expect("it answers");
    String::from_utf8(name.to_vec()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn nodes_call_each_other_and_know_each_other_by_their_certificates() {
    let (network, authority) = (Network::default(), Authority::new());
    let [dialling, dialled] = names();
    let tls = |name| authority.host(host(name)).require_identity().unwrap();
    let nodes = nodes(&network, [tls(dialling), tls(dialled)]);
    for node in &nodes {
        within(connection(node).ready()).await.expect("not shut down");
        let answer = within(connection(node).single(ECHO, vec![7; 1 << 20]).into_future()).await;
        assert_eq!(answer.expect("it answers"), vec![7; 1 << 20]);
    }
    assert_eq!(caller(&connection(&nodes[0])).await, dialling);
    assert_eq!(caller(&connection(&nodes[1])).await, dialled);
}

#[tokio::test(start_paused = true)]
async fn a_certificate_for_another_host_is_refused_by_who_dials() {
    let authority = Authority::new();
    let refused = refused([authority.host(host(names()[0])), authority.host("node-3.example")]).await;
    assert_refused(&refused, "not valid for name", "received fatal alert");
    assert!(refused.0.contains(names()[1]), "it says which peer: {}", refused.0);
}

#[tokio::test(start_paused = true)]
async fn a_certificate_of_an_unknown_authority_is_refused() {
    let [dialling, dialled] = names();
    let refused = refused([Authority::new().host(host(dialling)), Authority::new().host(host(dialled))]).await;
    assert_refused(&refused, "UnknownIssuer", "received fatal alert");
}

#[tokio::test(start_paused = true)]
async fn a_certificate_whose_time_is_over_is_refused() {
    let authority = Authority::new();
    let [dialling, dialled] = names();
    let mut params = CertificateParams::new([host(dialled).to_owned()]).unwrap();
    (params.not_before, params.not_after) = (date_time_ymd(2001, 1, 1), date_time_ymd(2002, 1, 1));
    let refused = refused([authority.host(host(dialling)), authority.host_with(params)]).await;
    assert_refused(&refused, "expired", "received fatal alert");
}

#[tokio::test(start_paused = true)]
async fn who_shows_no_certificate_where_one_is_required_is_refused() {
    let (log, _guard) = Log::listen();
    let (network, authority) = (Network::default(), Authority::new());
    let name = names()[1];
    let node = lone(&network, authority.host(host(name)).require_identity().unwrap());
    for _ in 0..3 {
        let guest = grid::connect(name).connector(network.clone()).tls(authority.stranger());
        let error = within(guest.into_future()).await.expect_err("it has no certificate");
        let is_told = matches!(&error, ConnectError::Link(LinkError::Tls(why)) if why.contains("CertificateRequired"));
        assert!(is_told, "{error:?}");
    }
    let logged = warnings(&log, name);
    assert!(logged.len() == 1 && logged[0].contains("no certificate"), "{logged:?}");
    node.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_goes_by_the_name_of_another_is_refused() {
    let authority = Authority::new();
    let dialled = names()[1];
    let refused = refused([authority.host("node-3.example"), authority.host(host(dialled))]).await;
    assert_refused(&refused, "the certificate that was shown is not for", "the certificate that was shown is not for");
}

#[tokio::test(start_paused = true)]
async fn a_guest_is_known_by_the_name_in_its_certificate() {
    let (network, authority) = (Network::default(), Authority::new());
    let name = names()[1];
    let _node = lone(&network, authority.host(host(name)));
    let guest = |tls| grid::connect(name).connector(network.clone()).tls(tls).into_future();
    let known = within(guest(authority.host("billing.example"))).await.expect("it is let in");
    assert!(caller(&known).await.starts_with("guest://billing.example/"));
    let unknown = within(guest(authority.stranger())).await.expect("it is let in");
    assert!(!caller(&unknown).await.contains('.'));
    let other = within(guest(authority.host("billing.example"))).await.expect("it is let in");
    assert_ne!(caller(&known).await, caller(&other).await, "two processes may have one certificate");
}

#[tokio::test(start_paused = true)]
async fn certificates_are_replaced_without_a_restart_and_links_stay() {
    let (network, before, after) = (Network::default(), Authority::new(), Authority::new());
    let name = names()[1];
    let tls = before.host(host(name));
    let _node = lone(&network, tls.clone());
    let guest = |tls| grid::connect(name).connector(network.clone()).tls(tls).into_future();
    let old = within(guest(before.stranger())).await.expect("it is let in");
    tls.replace(&after.host(host(name))).expect("it has a certificate");
    assert!(within(guest(before.stranger())).await.is_err());
    let new = within(guest(after.stranger())).await.expect("it is let in");
    for guest in [old, new] {
        caller(&guest).await;
        assert_eq!(guest.stats().reconnects, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn who_speaks_no_tls_is_refused_in_time() {
    let (network, authority) = (Network::default(), Authority::new());
    let name = names()[1];
    let node = lone(&network, authority.host(host(name)));
    let start = Instant::now();
    // Its connector is taken for one that makes TLS itself.
    let guest = grid::connect(name).connector(network.clone());
    let error = within(guest.into_future()).await.expect_err("it speaks HTTP to a node that speaks TLS");
    assert!(matches!(error, ConnectError::Link(LinkError::Unreachable { .. } | LinkError::Closed(_))), "{error}");
    assert!(start.elapsed() < Duration::from_secs(5), "Timeouts::handshake");
    node.shutdown().await;
}

#[tokio::test]
async fn what_cannot_be_used_is_an_error_that_says_what() {
    let authority = Authority::new();
    let text = |error: TlsError| error.to_string();
    assert_eq!(text(Tls::new("").unwrap_err()), "the roots cannot be read: there is no certificate in it");
    let (one, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let certificate = CertificateParams::new(["a.example".to_owned()]).unwrap().signed_by(&one, &authority.0).unwrap();
    let mismatch = authority.stranger().identity(certificate.pem(), other.serialize_pem()).unwrap_err();
    assert!(text(mismatch).starts_with("the certificate with this key cannot be used: "));
    let no_key = authority.stranger().identity(certificate.pem(), certificate.pem()).unwrap_err();
    assert!(text(no_key).starts_with("the key cannot be read: "));

    let name = names()[0];
    let no_identity = Manager::builder(name).tls(authority.stranger()).build().map(drop);
    assert_eq!(no_identity, Err(StartError::NoIdentity(name.into())));
    let unproven = Manager::builder("http://a:1").peers(["http://b:1"]).tls(authority.stranger()).guest_secret("x");
    assert_eq!(
        unproven.build().map(drop),
        Err(StartError::GuestSecretAlone),
        "TLS proves no name that is not https://"
    );
    let foreign = Manager::builder(name).tls(authority.host("node-3.example")).build().map(drop);
    assert_eq!(foreign, Err(StartError::ForeignIdentity(name.into())));
    let no_tls = Manager::builder("http://a:1").peers([name]).build().map(drop);
    assert_eq!(no_tls, Err(StartError::NoTls(name.into())));
}

/// Speaks TLS over a network, and shows nothing of itself.
struct Unproven(Network, TlsConnector);

impl Connector for Unproven {
    fn connect<'a>(&'a self, name: &'a str) -> Pin<Box<dyn Future<Output = io::Result<BoxIo>> + Send + 'a>> {
        Box::pin(async move {
            let host = ServerName::try_from(host(name).to_owned()).map_err(io::Error::other)?;
            let io = self.1.connect(host, self.0.connect(name).await?).await?;
            Ok(Box::new(io) as BoxIo)
        })
    }
}

/// Whoever can reach a node may dial it; with a name that begins with `https://` it must prove that.
#[tokio::test(start_paused = true)]
async fn who_shows_no_certificate_cannot_go_by_the_name_of_a_node() {
    let (network, authority) = (Network::default(), Authority::new());
    let [dialling, dialled] = names();
    let node = who(network.builder(dialled)).peers([dialling]).tls(authority.host(host(dialled)));
    let node = node.build().expect("it starts");
    network.add(&node);
    // It speaks TLS in its connector, and shows nothing there.
    let bare = Unproven(network.clone(), authority.unproven(&[&TLS13]));
    let thief = who(Manager::builder(dialling)).connector(bare).peers([dialled]).build().expect("it starts");
    let why = failure(&thief).await;
    assert_eq!(why, LinkError::Rejected(format!("{dialling} must show a certificate").into()));
    assert!(connection(&node).stats().bytes_in == 0, "it was never attached");
}

/// Also where another part of the program has turned TLS 1.2 on in rustls, as these tests have.
#[tokio::test(start_paused = true)]
async fn who_speaks_tls_1_2_and_no_other_is_refused() {
    let (network, authority) = (Network::default(), Authority::new());
    let name = names()[1];
    let _node = lone(&network, authority.host(host(name)));
    let guest = |version| {
        let connector = Unproven(network.clone(), authority.unproven(&[version]));
        within(grid::connect(name).connector(connector).into_future())
    };
    let error = guest(&TLS12).await.expect_err("the version is an old one").to_string();
    assert!(error.contains("ProtocolVersion"), "{error}");
    guest(&TLS13).await.expect("it is let in");
}

/// Writes down what goes over a network.
#[derive(Clone)]
struct Tap(Network, Arc<Mutex<Vec<u8>>>);

impl Connector for Tap {
    fn connect<'a>(&'a self, name: &'a str) -> Pin<Box<dyn Future<Output = io::Result<BoxIo>> + Send + 'a>> {
        Box::pin(async move {
            let (far_read, far_write) = split(self.0.connect(name).await?);
            let (near, tapped) = duplex(LINK_BYTES);
            let (near_read, near_write) = split(tapped);
            tokio::spawn(self.clone().carry(near_read, far_write));
            tokio::spawn(self.clone().carry(far_read, near_write));
            Ok(Box::new(near) as BoxIo)
        })
    }
}

impl Tap {
    async fn carry(self, mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
        let mut bytes = vec![0; LINK_BYTES];
        while let Ok(read @ 1..) = from.read(&mut bytes).await {
            self.1.lock().unwrap().extend(&bytes[..read]);
            if to.write_all(&bytes[..read]).await.is_err() {
                return;
            }
        }
    }

    fn has_seen(&self, text: &[u8]) -> bool {
        self.1.lock().unwrap().windows(text.len()).any(|window| window == text)
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_cannot_be_read_on_its_way() {
    const WORDS: &[u8] = b"for your eyes only";
    let (network, authority) = (Network::default(), Authority::new());
    let name = names()[1];
    let node = lone(&network, authority.host(host(name)));
    let open = who(network.builder("http://open.example:1")).build().expect("it starts");
    network.add(&open);
    for (node, is_readable) in [(&node, false), (&open, true)] {
        let tap = Tap(network.clone(), Arc::default());
        let guest = grid::connect(node.name()).connector(tap.clone()).tls(authority.stranger());
        let guest = within(guest.into_future()).await.expect("it is let in");
        assert_eq!(within(guest.single(ECHO, WORDS).into_future()).await.as_deref(), Ok(WORDS));
        assert_eq!(tap.has_seen(WORDS), is_readable, "{}", node.name());
        assert_eq!(tap.has_seen(b"101 Switching Protocols"), is_readable, "{}", node.name());
    }
}

#[tokio::test(start_paused = true)]
async fn a_replacement_keeps_the_demand_and_must_have_a_certificate() {
    let (network, authority) = (Network::default(), Authority::new());
    let name = names()[1];
    let tls = authority.host(host(name)).require_identity().expect("it has a certificate");
    let _node = lone(&network, tls.clone());
    tls.replace(&authority.host(host(name))).expect("it has a certificate");
    let guest = |tls| grid::connect(name).connector(network.clone()).tls(tls).into_future();
    assert!(within(guest(authority.stranger())).await.is_err(), "certificates are required as before");
    within(guest(authority.host("billing.example"))).await.expect("it has one");
    let error = tls.replace(&authority.stranger()).expect_err("it has none of its own");
    assert!(error.to_string().starts_with("the replacement cannot be used: "), "{error}");
    within(guest(authority.host("billing.example"))).await.expect("nothing has changed");
}

#[tokio::test(start_paused = true)]
async fn certificates_cannot_be_required_by_who_speaks_no_tls() {
    let tls = Authority::new().host("a.example").require_identity().expect("it has a certificate");
    let error = Manager::builder("http://a.example:1").tls(tls).build().expect_err("it would require nothing");
    assert_eq!(error, StartError::IdentityWithoutTls("http://a.example:1".into()));
}

#[tokio::test(start_paused = true)]
async fn a_guest_is_called_by_one_host_in_lower_case_or_refused_where_names_are_required() {
    let (network, authority) = (Network::default(), Authority::new());
    let name = names()[1];
    let _node = lone(&network, authority.host(host(name)).require_identity().expect("it has a certificate"));
    let guest = |names: &[&str]| {
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        let tls = authority.host_with(CertificateParams::new(names).unwrap());
        grid::connect(name).connector(network.clone()).tls(tls).into_future()
    };
    let many = within(guest(&["*.corp.example", "Billing.Example"])).await.expect("it is let in");
    assert!(caller(&many).await.starts_with("guest://billing.example/"));
    let nameless = within(guest(&["10.0.0.1"])).await.expect_err("it has no name");
    let why = LinkError::Rejected("the certificate that was shown has no name of a host".into());
    assert_eq!(nameless, ConnectError::Link(why));
}

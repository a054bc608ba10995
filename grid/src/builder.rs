//! Building a node, or a guest's connection.

use std::collections::BTreeSet;
use std::fmt;
use std::future::{Future, IntoFuture, ready};
use std::net::TcpListener as StdTcpListener;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::runtime::Handle;

use crate::auth::{SharedSecret, TokenSource, TokenValidator};
use crate::clock::Clock;
use crate::connection::Connection;
use crate::context::Context;
use crate::error::{ConnectError, RemoteError, StartError};
use crate::handler::{Service, register, register_raw, register_raw_stream};
use crate::inbound::Inbound;
use crate::limits::{Limits, Timeouts};
use crate::manager::Manager;
use crate::outbound::Outbound;
use crate::proto::{Claim, GUEST};
use crate::rt::{Attached, Guard, Guests, Node, Peer, Registry, Settings, dial_once, keep_connected};
use crate::tls::Tls;
use crate::transport::{Connector, Listener, NodeName, Scheme, Tcp};
use crate::windows::Windows;
use crate::wire::HandlerId;

/// What a node of the mesh and a guest have in common.
struct Common {
    name: Arc<str>,
    route: Box<str>,
    limits: Limits,
    timeouts: Timeouts,
    token_source: TokenSource,
    token_validator: TokenValidator,
    connector: Option<Arc<dyn Connector>>,
    clock: Clock,
    tls: Option<Tls>,
    registry: Result<Registry, StartError>,
}

impl Common {
    fn new(name: Arc<str>) -> Self {
        Self {
            name,
            route: "/grid/v1".into(),
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            token_source: Arc::new(|_| Box::pin(ready(String::new()))),
            token_validator: Arc::new(|_| Box::pin(ready(Ok(())))),
            connector: None,
            clock: Clock::default(),
            tls: None,
            registry: Ok(Registry::default()),
        }
    }

    /// The first fault is kept until the end.
    fn register(&mut self, add: impl FnOnce(&mut Registry) -> Result<(), StartError>) {
        if let Ok(registry) = &mut self.registry
            && let Err(error) = add(registry)
        {
            self.registry = Err(error);
        }
    }

    fn shared_secret(&mut self, secret: &[u8]) {
        let secret = SharedSecret::new(secret);
        let (source, own, clock) = (secret.clone(), Arc::clone(&self.name), self.clock.clone());
        self.token_source = Arc::new(move |dialled| Box::pin(ready(source.token(&own, dialled, clock.now()))));
        let (own, clock) = (Arc::clone(&self.name), self.clock.clone());
        self.token_validator = Arc::new(move |claim| Box::pin(ready(secret.validate(&claim, &own, clock.now()))));
    }

    #[cfg(feature = "sim")]
    fn simulate(&mut self, node: &crate::sim::Node) {
        self.clock = Clock::Simulated(node.clone());
        self.connector = Some(Arc::new(node.clone()));
    }

    fn settings(self, guests: Guests, remotes: &BTreeSet<Arc<str>>) -> Result<(Settings, Registry), StartError> {
        let Self { name, route, limits, timeouts, token_source, token_validator, connector, clock, tls, registry } =
            self;
        for remote in remotes {
            let parsed = parse_name(remote)?;
            if connector.is_none() && tls.is_none() && parsed.scheme == Scheme::Https {
                return Err(StartError::NoTls((&**remote).into()));
            }
        }
        if !route.starts_with('/') || route.contains(|c: char| c.is_whitespace() || "?#".contains(c)) {
            return Err(StartError::InvalidRoute(route));
        }
        limits.validate()?;
        timeouts.validate()?;
        Handle::try_current().map_err(|_| StartError::NoRuntime)?;
        let connector = connector.unwrap_or_else(|| Arc::new(Tcp));
        let settings =
            Settings { name, route, limits, timeouts, token_source, token_validator, connector, clock, guests, tls };
        Ok((settings, registry?))
    }
}

fn parse_name(name: &str) -> Result<NodeName, StartError> {
    NodeName::parse(name).map_err(|problem| StartError::InvalidName { name: name.into(), problem })
}

/// The settings that nodes and guests share, written once for both builders.
macro_rules! common_settings {
    () => {
        /// Serves a service: the `..Server` that [`service`](macro@crate::service) generates.
        ///
        /// A handler id that is served twice is an error when the node starts, naming both services.
        pub fn serve(mut self, service: impl Service) -> Self {
            self.common.register(|registry| register(registry, service, None));
            self
        }

        /// Serves a service under a subroute: calls reach it by [`Connection::subroute`]. The same service may be
        /// served any number of times so.
        pub fn serve_at(mut self, subroute: impl Into<Arc<str>>, service: impl Service) -> Self {
            self.common.register(|registry| register(registry, service, Some(subroute.into())));
            self
        }

        /// Serves a handler on bytes, for single requests by this id.
        ///
        /// An absent payload, which v1 calls nil, comes as an empty one. To answer with nil return `None`; an empty
        /// `Bytes` is an empty answer.
        pub fn single<H, F, R>(mut self, id: impl Into<HandlerId>, handler: H) -> Self
        where
            H: Fn(Context, Bytes) -> F + Send + Sync + 'static,
            F: Future<Output = Result<R, RemoteError>> + Send + 'static,
            R: Into<Option<Bytes>> + 'static,
        {
            self.common.register(|registry| register_raw(registry, id.into(), handler));
            self
        }

        /// Serves a handler on streams of bytes, by this id. It gets the bytes that opened the stream, the items that
        /// come, and where its own go; its end is the end of the call.
        ///
        /// A v1 peer must have the same [`Windows`] for it.
        pub fn stream<H, F>(mut self, id: impl Into<HandlerId>, windows: impl Into<Windows>, handler: H) -> Self
        where
            H: Fn(Context, Bytes, Inbound<Bytes>, Outbound<Bytes>) -> F + Send + Sync + 'static,
            F: Future<Output = Result<(), RemoteError>> + Send + 'static,
        {
            let windows = windows.into();
            self.common.register(|registry| register_raw_stream(registry, id.into(), windows, handler));
            self
        }

        /// Lets in only those who know the same secret, and introduces itself with it.
        ///
        /// The secret is not sent: tokens are signed with it, and are good for five minutes, for one name and for the node that
        /// is dialled; that of a guest for all nodes. Who reads one off the wire can use it for that long. Only the dialling side proves
        /// itself: a node serves whoever answers at the address of a peer. Where that is not known to be the peer, use TLS (feature
        /// `tls`).
        pub fn shared_secret(mut self, secret: impl AsRef<[u8]>) -> Self {
            self.common.shared_secret(secret.as_ref());
            self
        }

        /// Gives the token with which this side introduces itself to the peer whose name it gets, in the handshake and
        /// as the bearer of the HTTP request. Asked once for each attempt to connect, whose time it takes; an attempt whose token source panics
        /// has failed. Default: the empty token.
        pub fn token_source<F>(mut self, source: impl Fn(&str) -> F + Send + Sync + 'static) -> Self
        where
            F: Future<Output = String> + Send + 'static,
        {
            self.common.token_source = Arc::new(move |name| Box::pin(source(name)));
            self
        }

        /// The path of the WebSocket on every node. Default `/grid/v1`; MinIO's is `/minio/grid/v1`.
        pub fn route(mut self, path: impl Into<Box<str>>) -> Self {
            self.common.route = path.into();
            self
        }

        /// Changes [`Limits`] from their defaults.
        pub fn limits(mut self, change: impl FnOnce(&mut Limits)) -> Self {
            change(&mut self.common.limits);
            self
        }

        /// Changes [`Timeouts`] from their defaults.
        pub fn timeouts(mut self, change: impl FnOnce(&mut Timeouts)) -> Self {
            change(&mut self.common.timeouts);
            self
        }

        /// Speaks TLS with nodes whose names begin with `https://`, over the byte streams of the connector; and, if the own name does,
        /// with whoever connects, at the listener and at [`Manager::accept`]. Calls between two such nodes carry no checksums.
        #[cfg(feature = "tls")]
        pub fn tls(mut self, tls: Tls) -> Self {
            self.common.tls = Some(tls);
            self
        }

        /// Opens byte streams to other nodes. Default: TCP.
        pub fn connector(mut self, connector: impl Connector) -> Self {
            self.common.connector = Some(Arc::new(connector));
            self
        }
    };
}

/// Builds a [`Manager`].
#[must_use = "a node does nothing until it is started"]
pub struct ManagerBuilder {
    common: Common,
    peers: BTreeSet<Arc<str>>,
    guests: Guests,
    listen: Option<Listen>,
}

enum Listen {
    Address(Box<str>),
    Listener(StdTcpListener),
}

impl ManagerBuilder {
    pub(crate) fn new(name: Arc<str>) -> Self {
        Self { common: Common::new(name), peers: BTreeSet::new(), guests: Guests::default(), listen: None }
    }

    /// The names of the other nodes. All nodes may be given the same list: the own name in it is passed over.
    pub fn peers<N: Into<Arc<str>>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.peers.extend(names.into_iter().map(Into::into));
        self
    }

    /// Lets processes outside the mesh connect, by [`grid::connect`](crate::connect). A guest passes the same check of
    /// its token as a peer, and may then call all that is served.
    pub fn allow_guests(mut self) -> Self {
        self.guests = Guests::Allowed;
        self
    }

    /// Judges the tokens with which others introduce themselves. The error is told to them. It has what is left of
    /// [`Timeouts::handshake`]; if it panics, the connection is closed. Default: every token is good.
    pub fn token_validator<F>(mut self, validate: impl Fn(Claim) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.common.token_validator = Arc::new(move |claim| Box::pin(validate(claim)));
        self
    }

    /// Where to listen, such as `0.0.0.0:9000`. Default: the host and port of the node's name.
    pub fn listen(mut self, address: impl Into<Box<str>>) -> Self {
        self.listen = Some(Listen::Address(address.into()));
        self
    }

    /// Listens at a socket that is bound already.
    pub fn listener(mut self, listener: StdTcpListener) -> Self {
        self.listen = Some(Listen::Listener(listener));
        self
    }

    /// Takes the clock, the network and the listener of a simulated node.
    #[cfg(feature = "sim")]
    pub(crate) fn simulated(mut self, node: &crate::sim::Node) -> Self {
        self.common.simulate(node);
        self
    }

    common_settings!();

    /// Starts the node: binds and listens, and begins to dial its peers. Does not wait for them.
    ///
    /// # Errors
    /// What cannot be built, or an address that cannot be had.
    pub async fn start(mut self) -> Result<Manager, StartError> {
        let listen = self.listen.take();
        let node = self.node()?;
        let listener = bind(listen, &node.shared.settings).await?;
        node.dial_peers();
        let manager = Manager::new(node);
        let node = Arc::clone(manager.node());
        manager.node().shared.tasks.spawn(node.accept_forever(listener));
        Ok(manager)
    }

    /// Starts the node without a listener of its own: it dials its peers, and serves what is brought to it by
    /// [`Manager::accept`] or by the router of the feature `axum`.
    ///
    /// # Errors
    /// What cannot be built.
    pub fn build(self) -> Result<Manager, StartError> {
        let node = self.node()?;
        node.dial_peers();
        Ok(Manager::new(node))
    }

    /// The node, which does nothing yet.
    fn node(mut self) -> Result<Node, StartError> {
        let name = parse_name(&self.common.name)?;
        if name.scheme == Scheme::Https && self.common.tls.as_ref().is_some_and(|tls| !tls.has_identity()) {
            return Err(StartError::NoIdentity((&*self.common.name).into()));
        }
        self.peers.remove(&self.common.name);
        let (settings, registry) = self.common.settings(self.guests, &self.peers)?;
        Ok(Node::new(settings, registry, self.peers))
    }
}

/// A simulated node has one place to listen at, wherever else it is told to.
async fn bind(listen: Option<Listen>, settings: &Settings) -> Result<Listener, StartError> {
    let address: Box<str> = match &listen {
        Some(Listen::Address(address)) => address.clone(),
        Some(Listen::Listener(_)) | None => {
            let NodeName { host, port, .. } = parse_name(&settings.name)?;
            if host.contains(':') { format!("[{host}]:{port}").into() } else { format!("{host}:{port}").into() }
        }
    };
    let listener = match (&settings.clock, listen) {
        #[cfg(feature = "sim")]
        (Clock::Simulated(node), _) => node.listen().map(Listener::Simulated),
        (_, Some(Listen::Listener(listener))) => {
            listener.set_nonblocking(true).and_then(|()| TcpListener::from_std(listener)).map(Listener::Tcp)
        }
        (_, Some(Listen::Address(_)) | None) => TcpListener::bind(&*address).await.map(Listener::Tcp),
    };
    listener.map_err(|error| StartError::Bind { address, problem: error.to_string().into() })
}

impl fmt::Debug for ManagerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManagerBuilder")
            .field("name", &self.common.name)
            .field("peers", &self.peers)
            .finish_non_exhaustive()
    }
}

/// Connects to a node from outside of its mesh: a client, a job, a test. Await it to get the [`Connection`].
///
/// The node must [`allow_guests`](ManagerBuilder::allow_guests). A guest always dials, reconnects like a peer, and can
/// serve services too, so that the node can call it back through
/// [`Context::connection`](crate::Context::connection).
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let connection = grid::connect("http://10.0.0.1:9000").shared_secret("the secret of the mesh").await?;
/// let answer = connection.single(10_u8, "hello").await?;
/// # Ok(())
/// # }
/// ```
pub fn connect(url: impl Into<Arc<str>>) -> Connect {
    let guest = format!("{GUEST}{:032x}", fastrand::u128(..));
    Connect { common: Common::new(guest.into()), url: url.into() }
}

/// Builds the connection of a guest: see [`connect`].
#[must_use = "a guest connects when it is awaited"]
pub struct Connect {
    common: Common,
    url: Arc<str>,
}

impl Connect {
    /// Takes the clock and the network of a simulated node.
    #[cfg(feature = "sim")]
    pub(crate) fn simulated(mut self, node: &crate::sim::Node) -> Self {
        self.common.simulate(node);
        self
    }

    common_settings!();

    async fn connect(self) -> Result<Connection, ConnectError> {
        let remotes = BTreeSet::from([Arc::clone(&self.url)]);
        let (settings, registry) = self.common.settings(Guests::Refused, &remotes)?;
        let guard = Arc::new(Guard(Arc::new(Node::new(settings, registry, remotes))));
        let node = &guard.0;
        let peer: Arc<Peer> = node.peer(&self.url).expect("the one peer that the node was built with");
        let driver = dial_once(&peer, &node.mesh).await?;
        let first = Attached::new(Arc::clone(&peer), driver);
        node.shared.tasks.spawn(keep_connected(first, Arc::clone(&node.mesh)));
        Ok(Connection::of_guest(peer, guard))
    }
}

impl IntoFuture for Connect {
    type Output = Result<Connection, ConnectError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    /// Connects, or fails after one attempt; later losses of the link are mended in the background for as long as a
    /// handle to the connection exists.
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.connect())
    }
}

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect").field("url", &self.url).finish_non_exhaustive()
    }
}

//! Building a node.

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::net::TcpListener as StdTcpListener;
use std::sync::Arc;

use bytes::Bytes;
use tokio::net::TcpListener;

use crate::auth::TokensProve;
#[cfg(feature = "sim")]
use crate::clock::Clock;
use crate::common::{Common, parse_name};
use crate::context::Context;
use crate::error::{RemoteError, StartError};
use crate::handler::{Service, register, register_raw, register_raw_stream};
use crate::inbound::Inbound;
use crate::limits::{Limits, Timeouts};
use crate::manager::Manager;
use crate::middleware::Middleware;
use crate::outbound::Outbound;
use crate::proto::Claim;
use crate::rt::{Guests, Node, Settings};
#[cfg(feature = "tls")]
use crate::tls::Tls;
use crate::transport::{Connector, Listener, NodeName, Scheme};
use crate::windows::Windows;
use crate::wire::HandlerId;

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

        /// Serves a service under a subroute: calls reach it by [`Connection::subroute`](crate::Connection::subroute).
        /// The same service may be served any number of times so.
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
        /// **Who knows it may go by the name of any node.** Give guests one of their own by
        /// [`guest_secret`](crate::ManagerBuilder::guest_secret), or use TLS (feature `tls`), where names are proven.
        ///
        /// The secret is not sent: tokens are signed with it, and are good for five minutes before and after their
        /// time, for one name and for the node that is dialled; that of a guest for all nodes. Who reads one off the
        /// wire can use it for that long, and can try secrets at it: take 128 random bits, not a word. Only the
        /// dialling side proves itself: a node serves whoever answers at the address of a peer, but with TLS. A node
        /// that has a secret refuses all who have none, and one that has none refuses tokens that were signed with one.
        pub fn shared_secret(mut self, secret: impl AsRef<[u8]>) -> Self {
            self.common.auth.secret = Some(self.common.secret(secret.as_ref()));
            self
        }

        /// Gives the token with which this side introduces itself to the peer whose name it gets, in the handshake and
        /// as the bearer of the HTTP request. Asked once for each attempt to connect, whose time it takes; an attempt
        /// whose token source panics has failed. Default: a token that is signed with the secret, if there is one, else the
        /// empty token.
        ///
        /// It takes the place of tokens that are signed with [`shared_secret`](Self::shared_secret): peers that have the
        /// secret refuse a node that is given both, unless its source gives such tokens.
        pub fn token_source<F>(mut self, source: impl Fn(&str) -> F + Send + Sync + 'static) -> Self
        where
            F: Future<Output = String> + Send + 'static,
        {
            self.common.auth.source = Some(Arc::new(move |name| Box::pin(source(name))));
            self
        }

        /// Shows every call of this node, and every item of its streams, to this first: see [`Middleware`]. May be
        /// given several times.
        pub fn middleware(mut self, middleware: impl Middleware) -> Self {
            self.common.middleware.push(middleware);
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

        /// Speaks TLS with nodes whose names begin with `https://`, over the byte streams of the connector; and, if the
        /// own name does, with whoever connects, at the listener and at [`Manager::accept`](crate::Manager::accept).
        /// Calls between two such nodes carry no checksums.
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
    guest_handlers: BTreeSet<HandlerId>,
    listen: Option<Listen>,
}

enum Listen {
    Address(Box<str>),
    Listener(StdTcpListener),
}

impl ManagerBuilder {
    pub(crate) fn new(name: Arc<str>) -> Self {
        Self {
            common: Common::new(name),
            peers: BTreeSet::new(),
            guests: Guests::default(),
            guest_handlers: BTreeSet::new(),
            listen: None,
        }
    }

    /// The names of the other nodes. All nodes may be given the same list: the own name in it is passed over.
    pub fn peers<N: Into<Arc<str>>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.peers.extend(names.into_iter().map(Into::into));
        self
    }

    /// Lets processes outside the mesh connect, by [`grid::connect`](crate::connect), and call these handlers and no
    /// others, also under subroutes: `[HelloClient::GREET]`, or all of a service by
    /// [`ServiceDescription::handler_ids`](crate::ServiceDescription::handler_ids). May be given several times. What
    /// depends on more than the handler is for a [`Middleware`].
    ///
    /// A guest passes the same check of its token as a peer, but for [`guest_secret`](Self::guest_secret). A node may
    /// call its guests, whatever they may call.
    pub fn allow_guests(mut self, handlers: impl IntoIterator<Item = HandlerId>) -> Self {
        self.guests = Guests::Allowed;
        self.guest_handlers.extend(handlers);
        self
    }

    /// Another secret for guests: who introduces himself as a guest, by
    /// [`Connect::shared_secret`](crate::Connect::shared_secret), must know this one, and who does cannot go by the
    /// name of a node. It needs [`shared_secret`](Self::shared_secret) for nodes, a
    /// [`token_validator`](Self::token_validator) or certificates beside it. Default: that of `shared_secret`.
    pub fn guest_secret(mut self, secret: impl AsRef<[u8]>) -> Self {
        self.common.auth.guest_secret = Some(self.common.secret(secret.as_ref()));
        self
    }

    /// Judges those who introduce themselves, by their names and tokens, beside [`shared_secret`](Self::shared_secret)
    /// if there is one, which has judged them before. The error is told to them and logged, so the token must not be in
    /// it. It has what is left of [`Timeouts::handshake`]; if it panics, the caller is rejected. Default: every token
    /// is good that no secret has signed.
    pub fn token_validator<F>(mut self, validate: impl Fn(Claim) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.common.auth.validator = Some(Arc::new(move |claim| Box::pin(validate(claim))));
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
        // Elsewhere, TLS may be spoken by something before it.
        if listen.is_none() && self.common.connector.is_none() && self.common.tls.is_none() {
            let name = &self.common.name;
            if parse_name(name)?.scheme == Scheme::Https {
                return Err(StartError::NoTls((&**name).into()));
            }
        }
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

    /// Whether nobody can go by the name of a node without a certificate for it.
    fn proves_nodes(&self, own: &NodeName) -> bool {
        let Some(tls) = self.common.tls.as_ref().filter(|_| own.scheme == Scheme::Https) else { return false };
        tls.requires_identity() || self.peers.iter().all(|peer| peer.starts_with("https://"))
    }

    /// The node, which does nothing yet.
    fn node(mut self) -> Result<Node, StartError> {
        let name = parse_name(&self.common.name)?;
        if let Some(tls) = &self.common.tls {
            match name.scheme {
                Scheme::Https if !tls.has_identity() => {
                    return Err(StartError::NoIdentity((&*self.common.name).into()));
                }
                Scheme::Https if !tls.identifies(&name.host) => {
                    return Err(StartError::ForeignIdentity((&*self.common.name).into()));
                }
                Scheme::Http if tls.requires_identity() => {
                    return Err(StartError::IdentityWithoutTls((&*self.common.name).into()));
                }
                Scheme::Https | Scheme::Http => {}
            }
        }
        let auth = &self.common.auth;
        if auth.guest_secret.is_some() && auth.tokens_prove() == TokensProve::Nothing && !self.proves_nodes(&name) {
            return Err(StartError::GuestSecretAlone);
        }
        self.peers.remove(&self.common.name);
        let (settings, mut registry) = self.common.settings(self.guests, &self.peers)?;
        registry.allow_guests(&self.guest_handlers)?;
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

pub(crate) use common_settings;

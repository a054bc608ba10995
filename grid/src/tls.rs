//! Who a node is and whom it trusts, by certificates.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_rustls::rustls::client::{Resumption, verify_server_name};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{AlertDescription, ClientConfig, Error, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use crate::rt::BoxIo;

/// The certificates of a node: who it is, and whom it trusts. Given to
/// [`ManagerBuilder::tls`](crate::ManagerBuilder::tls) or [`Connect::tls`](crate::Connect::tls).
///
/// ```no_run
/// # fn node() -> Result<grid::ManagerBuilder, Box<dyn std::error::Error>> {
/// use std::fs::read;
///
/// let tls = grid::Tls::new(read("roots.pem")?)?
///     .identity(read("node-1.pem")?, read("node-1.key")?)?
///     .require_identity()?;
/// let node = grid::Manager::builder("https://node-1.example:9000").peers(["https://node-2.example:9000"]).tls(tls);
/// # Ok(node)
/// # }
/// ```
///
/// Only TLS 1.3 is spoken. Clones are one: what [`replace`](Self::replace) does shows in all of them.
#[derive(Clone)]
pub struct Tls {
    current: Arc<Mutex<Arc<Config>>>,
}

/// What the handshakes that begin now go by.
struct Config {
    roots: Arc<RootCertStore>,
    identity: Option<Identity>,
    demand: Demand,
    dialling: Arc<ClientConfig>,
    /// `None`: without an identity.
    accepting: Option<Arc<ServerConfig>>,
}

struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

/// Whether those who dial must have a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Demand {
    /// It is looked at if they have one.
    Welcome,
    Required,
}

/// Why certificates cannot be used: they cannot be read, or the key is another's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} cannot be {}: {problem}", match .step { Step::Read => "read", Step::Use => "used" })]
pub struct TlsError {
    what: &'static str,
    step: Step,
    problem: Box<str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Read,
    Use,
}

impl Tls {
    /// Trusts those whose certificates were signed by these, in PEM: one or more, of an authority of your own as a
    /// rule. No others are trusted; for those of the system give the file in which it has them.
    ///
    /// # Errors
    /// There is no certificate in it, or one that cannot be used.
    pub fn new(roots: impl AsRef<[u8]>) -> Result<Self, TlsError> {
        const WHAT: &str = "the roots";
        let certificates = certificates(WHAT, roots.as_ref())?;
        let mut roots = RootCertStore::empty();
        for certificate in certificates {
            roots.add(certificate).map_err(|error| unusable(WHAT, &error))?;
        }
        Self::make(Arc::new(roots), None, Demand::Welcome)
    }

    /// Shows this certificate to others, in PEM with those that lead from it to a root, and proves by the key, in PEM
    /// (PKCS #8, PKCS #1 or SEC 1), that it is its own. A node with an `https://` name needs one; a guest may have one.
    ///
    /// The certificate must be for the host of the node's name, and for use by servers and clients both, since either
    /// side dials. It does not tell ports apart, and one for `*.example` is for all hosts there: whoever has its key
    /// may be any node on them.
    ///
    /// # Errors
    /// One of them cannot be read, or the key is not that of the certificate.
    pub fn identity(self, chain: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Result<Self, TlsError> {
        let chain = certificates("the certificate", chain.as_ref())?;
        let key = PrivateKeyDer::from_pem_slice(key.as_ref()).map_err(|error| unreadable("the key", &error))?;
        let config = self.config();
        Self::make(Arc::clone(&config.roots), Some(Identity { chain, key }), config.demand)
    }

    /// Lets in only those who show a certificate (mutual TLS). Then the names of all callers are proven: that of a node
    /// is of the host for which its certificate is, and that of a guest begins with the first name of one host in its
    /// certificate; a guest whose certificate has none is refused.
    ///
    /// It is for a node whose own name begins with `https://`, at its listener and at
    /// [`Manager::accept`](crate::Manager::accept); another one cannot be built with it. The TLS around a router
    /// (feature `axum`) is the router's, which shows no certificates to the node: it lets nobody in there.
    ///
    /// # Errors
    /// As [`identity`](Self::identity).
    pub fn require_identity(self) -> Result<Self, TlsError> {
        let config = self.config();
        let identity = config.identity.as_ref().map(Identity::duplicate);
        Self::make(Arc::clone(&config.roots), identity, Demand::Required)
    }

    /// Takes the place of what this and its clones held, for handshakes that begin from now on: a renewed certificate,
    /// other roots. Whether others must have a certificate stays as it was. Links that are up stay up, also those of
    /// whom is trusted no more. Whether the certificate is for the host of the node is looked at when that starts, and
    /// not here.
    ///
    /// # Errors
    /// There was a certificate of its own, and there is none in the new one. Nothing is changed then.
    pub fn replace(&self, new: &Self) -> Result<(), TlsError> {
        const WHAT: &str = "the replacement";
        let (old, new) = (self.config(), new.config());
        let identity = new.identity.as_ref().map(Identity::duplicate);
        if identity.is_none() && old.identity.is_some() {
            return Err(unusable(WHAT, &"it has no certificate of its own, as what it replaces has"));
        }
        let made = Self::make(Arc::clone(&new.roots), identity, old.demand)?;
        *self.lock() = made.config();
        Ok(())
    }

    fn make(roots: Arc<RootCertStore>, identity: Option<Identity>, demand: Demand) -> Result<Self, TlsError> {
        const WHAT: &str = "the certificate with this key";
        let provider = Arc::new(ring::default_provider());
        let dialling = dialling(&provider, &roots, identity.as_ref()).map_err(|error| unusable(WHAT, &error))?;
        let accepting = match &identity {
            Some(identity) => Some(accepting(&provider, &roots, identity, demand)?),
            None => None,
        };
        let config = Config { roots, identity, demand, dialling, accepting };
        Ok(Self { current: Arc::new(Mutex::new(Arc::new(config))) })
    }

    pub(crate) fn requires_identity(&self) -> bool {
        self.config().demand == Demand::Required
    }

    /// Whether it has what an accepting side needs.
    pub(crate) fn has_identity(&self) -> bool {
        self.config().identity.is_some()
    }

    /// Whether the own certificate is for this host.
    pub(crate) fn identifies(&self, host: &str) -> bool {
        let config = self.config();
        let own = config.identity.as_ref().and_then(|identity| identity.chain.first());
        own.is_some_and(|own| Certificate(own.clone()).is_for(host))
    }

    /// TLS as the side that dials a node on this host.
    pub(crate) async fn connect(&self, host: &str, io: BoxIo) -> std::io::Result<BoxIo> {
        let host = ServerName::try_from(host.to_owned()).map_err(std::io::Error::other)?;
        let connector = TlsConnector::from(Arc::clone(&self.config().dialling));
        Ok(Box::new(TlsStream::from(connector.connect(host, io).await?)))
    }

    /// TLS as the side that is dialled, and what the other side has shown.
    pub(crate) async fn accept(&self, io: BoxIo) -> std::io::Result<(BoxIo, Option<Certificate>)> {
        let config = self.config().accepting.clone();
        let config = config.ok_or_else(|| std::io::Error::other("there is no certificate any more"))?;
        let stream = TlsAcceptor::from(config).accept(io).await?;
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let certificate = shown.map(|certificate| Certificate(certificate.clone().into_owned()));
        Ok((Box::new(TlsStream::from(stream)), certificate))
    }

    fn config(&self) -> Arc<Config> {
        Arc::clone(&self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Arc<Config>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let config = self.config();
        f.debug_struct("Tls")
            .field("roots", &config.roots.len())
            .field("identity", &config.identity.is_some())
            .field("demand", &config.demand)
            .finish()
    }
}

impl Identity {
    fn duplicate(&self) -> Self {
        Self { chain: self.chain.clone(), key: self.key.clone_key() }
    }
}

fn dialling(
    provider: &Arc<CryptoProvider>,
    roots: &Arc<RootCertStore>,
    identity: Option<&Identity>,
) -> Result<Arc<ClientConfig>, Error> {
    let config = ClientConfig::builder_with_provider(Arc::clone(provider)).with_protocol_versions(&[&TLS13])?;
    let config = config.with_root_certificates(Arc::clone(roots));
    let mut config = match identity.map(Identity::duplicate) {
        Some(Identity { chain, key }) => config.with_client_auth_cert(chain, key)?,
        None => config.with_no_client_auth(),
    };
    config.alpn_protocols = vec![HTTP.into()];
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

fn accepting(
    provider: &Arc<CryptoProvider>,
    roots: &Arc<RootCertStore>,
    identity: &Identity,
    demand: Demand,
) -> Result<Arc<ServerConfig>, TlsError> {
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), Arc::clone(provider));
    let verifier = match demand {
        Demand::Welcome => verifier.allow_unauthenticated(),
        Demand::Required => verifier,
    };
    let verifier = verifier.build().map_err(|error| unusable("the roots", &error))?;
    let Identity { chain, key } = identity.duplicate();
    let config = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&[&TLS13])
        .and_then(|config| config.with_client_cert_verifier(verifier).with_single_cert(chain, key));
    let mut config = config.map_err(|error| unusable("the certificate with this key", &error))?;
    config.alpn_protocols = vec![HTTP.into()];
    // Who resumes a session is not asked for a certificate again, though its time may be over by then.
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// Whether an error of a stream is the word of its other side that it takes no certificate of this one, or misses it.
pub(crate) fn is_distrust(error: &std::io::Error) -> bool {
    use AlertDescription as Alert;

    let error = error.get_ref().and_then(|error| error.downcast_ref::<Error>());
    let Some(Error::AlertReceived(alert)) = error else { return false };
    matches!(
        alert,
        Alert::CertificateRequired
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied
    )
}

fn certificates(what: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match certificates {
        Ok(certificates) if certificates.is_empty() => Err(unreadable(what, &"there is no certificate in it")),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(unreadable(what, &error)),
    }
}

fn unreadable(what: &'static str, problem: &impl fmt::Display) -> TlsError {
    TlsError { what, step: Step::Read, problem: problem.to_string().into() }
}

fn unusable(what: &'static str, problem: &impl fmt::Display) -> TlsError {
    TlsError { what, step: Step::Use, problem: problem.to_string().into() }
}

/// What the other side has shown, and proven to be its own.
#[derive(Debug)]
pub(crate) struct Certificate(CertificateDer<'static>);

impl Certificate {
    /// Whether it is for this host.
    pub(crate) fn is_for(&self, host: &str) -> bool {
        let (Ok(host), Ok(certificate)) = (ServerName::try_from(host), ParsedCertificate::try_from(&self.0)) else {
            return false;
        };
        verify_server_name(&certificate, &host).is_ok()
    }

    /// The first name in it that is of one host.
    pub(crate) fn name(&self) -> Option<String> {
        let certificate = webpki::EndEntityCert::try_from(&self.0).ok()?;
        certificate.valid_dns_names().find(|name| !name.starts_with('*')).map(str::to_ascii_lowercase)
    }
}

/// What is spoken over it: no other version of HTTP has the upgrade to a WebSocket that v1 uses.
const HTTP: &[u8] = b"http/1.1";

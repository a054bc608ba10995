//! A certificate that is made when the process begins, and the two sides of TLS that trust it.

use std::sync::{Arc, LazyLock};

use anyhow::Result;
use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use tokio::net::TcpStream;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

/// Of the server, for those who make TLS themselves.
pub(crate) struct Pem {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

pub(crate) fn pem() -> Pem {
    Pem { certificate: CERTIFIED.cert.pem(), key: CERTIFIED.signing_key.serialize_pem() }
}

/// The server's side.
pub(crate) async fn accept(stream: TcpStream) -> Result<TlsStream<TcpStream>> {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(CERTIFIED.signing_key.serialize_der()));
    let config = ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(vec![CERTIFIED.cert.der().clone()], key)?;
    Ok(TlsAcceptor::from(Arc::new(config)).accept(stream).await?.into())
}

/// The client's side.
pub(crate) async fn connect(stream: TcpStream) -> Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CERTIFIED.cert.der().clone())?;
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(NAME)?, stream).await?.into())
}

static CERTIFIED: LazyLock<CertifiedKey<KeyPair>> =
    LazyLock::new(|| generate_simple_self_signed([NAME.to_owned()]).expect("the name is one"));
/// Whom the certificate names.
pub(crate) const NAME: &str = "localhost";

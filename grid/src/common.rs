//! What a node of the mesh and a guest are built with.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::runtime::Handle;

use crate::auth::{Auth, SharedSecret};
use crate::clock::Clock;
use crate::error::StartError;
use crate::limits::{Limits, Timeouts};
use crate::middleware::Layers;
use crate::rt::{Guests, Registry, Settings};
use crate::tls::Tls;
use crate::transport::{Connector, NodeName, Scheme, Tcp};

/// What a node of the mesh and a guest have in common.
pub(crate) struct Common {
    pub(crate) name: Arc<str>,
    pub(crate) route: Box<str>,
    pub(crate) limits: Limits,
    pub(crate) timeouts: Timeouts,
    pub(crate) auth: Auth,
    pub(crate) connector: Option<Arc<dyn Connector>>,
    pub(crate) clock: Clock,
    pub(crate) tls: Option<Tls>,
    pub(crate) middleware: Layers,
    pub(crate) registry: Result<Registry, StartError>,
}

impl Common {
    pub(crate) fn new(name: Arc<str>) -> Self {
        Self {
            name,
            route: "/grid/v1".into(),
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            auth: Auth::default(),
            connector: None,
            clock: Clock::default(),
            tls: None,
            middleware: Layers::default(),
            registry: Ok(Registry::default()),
        }
    }

    /// The first fault is kept until the end.
    pub(crate) fn register(&mut self, add: impl FnOnce(&mut Registry) -> Result<(), StartError>) {
        if let Ok(registry) = &mut self.registry
            && let Err(error) = add(registry)
        {
            self.registry = Err(error);
        }
    }

    /// A secret that is none is a mistake, of an environment without its variable as a rule.
    pub(crate) fn secret(&mut self, secret: &[u8]) -> SharedSecret {
        if secret.is_empty() {
            self.register(|_| Err(StartError::EmptySecret));
        }
        SharedSecret::new(secret)
    }

    #[cfg(feature = "sim")]
    pub(crate) fn simulate(&mut self, node: &crate::sim::Node) {
        self.clock = Clock::Simulated(node.clone());
        self.connector = Some(Arc::new(node.clone()));
    }

    pub(crate) fn settings(
        self,
        guests: Guests,
        remotes: &BTreeSet<Arc<str>>,
    ) -> Result<(Settings, Registry), StartError> {
        let Self { name, route, limits, timeouts, auth, connector, clock, tls, middleware, registry } = self;
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
        let tokens_prove = auth.tokens_prove();
        let (token_source, token_validator) = auth.into_parts(&name, &clock);
        let settings = Settings {
            name,
            route,
            limits,
            timeouts,
            token_source,
            token_validator,
            tokens_prove,
            connector,
            clock,
            guests,
            tls,
            middleware,
        };
        Ok((settings, registry?))
    }
}

pub(crate) fn parse_name(name: &str) -> Result<NodeName, StartError> {
    NodeName::parse(name).map_err(|problem| StartError::InvalidName { name: name.into(), problem })
}

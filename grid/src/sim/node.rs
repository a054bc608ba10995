//! What the program of a simulated node has in place of its machine.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::network::Network;
use super::routes::Place;
use super::socket::Listener;
use crate::builder::ManagerBuilder;
use crate::connect::{Connect, connect};
use crate::manager::Manager;
use crate::transport::{BoxIo, Connector};

/// A machine of the simulation, as the program that runs on it sees it.
#[derive(Clone)]
pub struct Node {
    pub(super) name: Arc<str>,
    pub(super) place: Place,
    pub(super) network: Arc<Network>,
}

impl Node {
    /// Its name, a URL.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Begins a node of grid here, as [`Manager::builder`] does elsewhere: it dials through the simulated network, listens
    /// there when it is [started](ManagerBuilder::start), and has the clock of this machine.
    pub fn builder(&self) -> ManagerBuilder {
        Manager::builder(Arc::clone(&self.name)).simulated(self)
    }

    /// Connects as a guest, as [`grid::connect`](crate::connect) does elsewhere.
    pub fn connect(&self, url: impl Into<Arc<str>>) -> Connect {
        connect(url).simulated(self)
    }

    /// The time of day by the clock of this machine, which [`Sim::set_clock`](super::Sim::set_clock) may have set wrong.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        self.network.with(|state| state.time_of_day(self.place))
    }

    /// How long the simulation has run, which no machine could know: for notes that a test makes.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.network.with(|state| state.here())
    }

    pub(crate) fn listen(&self) -> io::Result<Listener> {
        Listener::new(&self.network, self.place)
    }
}

impl Connector for Node {
    fn connect<'a>(&'a self, name: &'a str) -> Pin<Box<dyn Future<Output = io::Result<BoxIo>> + Send + 'a>> {
        Box::pin(async move { self.network.dial(self.place, name)?.await })
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("name", &self.name).finish_non_exhaustive()
    }
}

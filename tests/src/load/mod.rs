//! Calls of all kinds with real time, each accounted for: what it was, and how it ended.

mod caller;
mod handlers;
mod ledger;

use std::sync::Arc;
use std::time::Duration;

use grid::Connection;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

pub use self::handlers::{CALL_BACK, open_to_guests, serve};
pub use self::ledger::Ledger;

/// What a caller does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A single request of up to a KiB.
    Small,
    /// A single request of up to 256 KiB.
    Large,
    /// A single request in which the remote calls back.
    CallBack,
    /// A stream of responses.
    Responses,
    /// A stream of responses that are read slowly, with a small window.
    SlowReader,
    /// A stream of requests.
    Requests,
    /// Items both ways at once.
    TwoWay,
    /// A single request whose deadline comes first.
    Late,
    /// A single request that is dropped.
    GivenUp,
    /// A stream that is dropped in its midst.
    GivenUpStream,
}

/// How a call may end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Answered,
    Disconnected,
    /// By its deadline.
    Late,
    GivenUp,
    /// As no call of its kind may.
    Wrong,
}

impl Kind {
    pub const ALL: [Self; 10] = [
        Self::Small,
        Self::Large,
        Self::CallBack,
        Self::Responses,
        Self::SlowReader,
        Self::Requests,
        Self::TwoWay,
        Self::Late,
        Self::GivenUp,
        Self::GivenUpStream,
    ];

    /// One of them, drawn.
    pub fn any() -> Self {
        Self::ALL[fastrand::usize(0..Self::ALL.len())]
    }
}

impl End {
    pub const ALL: [Self; 5] = [Self::Answered, Self::Disconnected, Self::Late, Self::GivenUp, Self::Wrong];
}

/// Callers that go on, one call after the other, until they are told to stop.
#[derive(Debug)]
pub struct Load {
    ledger: Arc<Ledger>,
    stop: watch::Sender<bool>,
    callers: JoinSet<()>,
}

impl Load {
    /// So many callers on each connection, with calls of any kind.
    pub fn start(connections: impl IntoIterator<Item = Connection>, callers: usize) -> Self {
        let (ledger, stop) = (Arc::new(Ledger::default()), watch::Sender::new(false));
        let connections = connections.into_iter().flat_map(|connection| vec![connection; callers]);
        let callers = connections.map(|connection| {
            let (ledger, mut stopped) = (Arc::clone(&ledger), stop.subscribe());
            async move {
                while !*stopped.borrow() {
                    if ledger.call(&connection, Kind::any()).await == End::Disconnected {
                        tokio::select! {
                            ready = connection.ready() => ready.expect("not shut down"),
                            _ = stopped.changed() => {}
                        }
                    }
                    sleep(BETWEEN_CALLS).await;
                }
            }
        });
        Self { callers: callers.collect(), ledger, stop }
    }

    /// What has happened so far.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Lets the running calls come to their ends.
    ///
    /// # Panics
    /// Not each call ended once, as it may.
    pub async fn stop(mut self) -> Arc<Ledger> {
        self.stop.send_replace(true);
        while let Some(caller) = self.callers.join_next().await {
            caller.expect("callers do not panic");
        }
        self.ledger.assert_accounted();
        self.ledger
    }
}

/// The time that calls have. Faults that last longer end them by it.
pub const DEADLINE: Duration = Duration::from_secs(10);
/// Leaves the processor to others.
const BETWEEN_CALLS: Duration = Duration::from_millis(1);

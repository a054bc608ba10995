//! Two nodes with a proxy between them.

use std::time::Duration;

use futures_util::StreamExt;
use grid::{CallError, Connection, Manager, ManagerBuilder, State};
use grid_tests::load::{Load, serve};
use grid_tests::memory::dials;
use grid_tests::mesh::{Place, only, soon};
use grid_tests::probe::{ECHO, HANG, Probe};
use grid_tests::proxy::Proxy;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// The left node dials the right one through the proxy.
pub(crate) struct Stage {
    pub(crate) left: Manager,
    pub(crate) right: Manager,
    pub(crate) proxy: Proxy,
    pub(crate) probe: Probe,
}

impl Stage {
    /// Both nodes serve what a load calls, and are connected.
    pub(crate) async fn start(change: impl Fn(ManagerBuilder) -> ManagerBuilder) -> Self {
        let (probe, proxy) = (Probe::default(), Proxy::start());
        let place = place_that(|place| dials(&place.name, proxy.name()));
        let left = serve(&probe, change(place.builder())).peers([proxy.name()]).start().await.expect("it starts");
        let right = serve(&probe, change(proxy.builder())).peers([&*place.name]).start().await.expect("it starts");
        let stage = Self { left, right, proxy, probe };
        stage.ready().await;
        stage
    }

    pub(crate) fn ends(&self) -> [Connection; 2] {
        [only(&self.left), only(&self.right)]
    }

    pub(crate) fn load(&self, callers: usize) -> Load {
        Load::start(self.ends(), callers)
    }

    pub(crate) async fn ready(&self) {
        for end in self.ends() {
            soon(end.ready()).await.expect("not shut down");
        }
    }

    /// Each end calls the other, and nothing is left of any call.
    pub(crate) async fn assert_recovered(&self) {
        for end in self.ends() {
            soon(answers(&end)).await;
        }
        soon(self.idle()).await;
    }

    async fn idle(&self) {
        for end in self.ends() {
            until(|| {
                let stats = end.stats();
                (stats.calls_out, stats.calls_in, stats.unread_bytes, stats.queued_bytes) == (0, 0, 0, 0)
            })
            .await;
        }
        self.probe.until(|visits| visits.started == visits.finished + visits.dropped).await;
    }
}

/// A port whose name fulfils a condition, as half of all do.
pub(crate) fn place_that(condition: impl Fn(&Place) -> bool) -> Place {
    std::iter::repeat_with(Place::new).find(condition).expect("ports do not end")
}

/// Calls until a call is answered.
pub(crate) async fn answers(connection: &Connection) {
    loop {
        match connection.single(ECHO, "x").await {
            Ok(_) => return,
            Err(CallError::Disconnected(_)) => connection.ready().await.expect("not shut down"),
            Err(other) => panic!("no fault ends a call so: {other}"),
        }
    }
}

/// Waits for what nobody tells.
pub(crate) async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Waits for a state, and gives the time it took from now on.
pub(crate) async fn state(connection: &Connection, condition: impl Fn(&State) -> bool) -> (State, Duration) {
    let start = Instant::now();
    let mut changes = connection.changes();
    let found = async {
        loop {
            let state = changes.next().await.expect("the node is not shut down");
            if condition(&state) {
                return state;
            }
        }
    };
    (soon(found).await, start.elapsed())
}

pub(crate) fn is_down(state: &State) -> bool {
    matches!(state, State::Disconnected(_))
}

/// Calls that nothing but the end of their link ends, which all have begun. They give when they ended.
pub(crate) fn hanging(connection: &Connection, calls: usize) -> Vec<JoinHandle<Instant>> {
    let hang = |_| {
        let call = connection.single(HANG, "x");
        let name = connection.remote().to_owned();
        tokio::spawn(async move {
            assert_eq!(call.await, Err(CallError::Disconnected(name.into())));
            Instant::now()
        })
    };
    (0..calls).map(hang).collect()
}

/// What a busy machine takes in addition.
pub(crate) const SLACK: Duration = Duration::from_secs(20);

//! One simulated machine at work: a runtime of its own under a clock of its own, that is moved on step by step.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio::time::{Instant, advance, sleep_until};

use super::network::Network;
use super::{Exit, TICK};

/// From its start to its end, which is to drop it: what runs is dropped, and the system closes its sockets.
pub(super) struct Machine {
    runtime: Runtime,
    program: JoinHandle<Exit>,
    network: Arc<Network>,
    boot: Boot,
    now: Duration,
}

/// When a machine started: by its own clock, and by that of the simulation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Boot {
    by_own_clock: Instant,
    at: Duration,
}

impl Boot {
    /// Now by the clock of the simulation, inside the machine.
    pub(super) fn now(&self) -> Duration {
        self.at + self.by_own_clock.elapsed()
    }
}

impl Machine {
    pub(super) fn start(network: &Arc<Network>, program: Pin<Box<dyn Future<Output = Exit> + Send>>) -> Self {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.expect("without I/O a runtime needs nothing of the system");
        let program = runtime.spawn(program);
        let at = network.now();
        let boot = runtime.block_on(async { Boot { by_own_clock: Instant::now(), at } });
        Self { runtime, program, network: Arc::clone(network), boot, now: at }
    }

    /// Up to when it has run. May be ahead of the simulation.
    pub(super) fn now(&self) -> Duration {
        self.now
    }

    /// Runs all that is due before then. It stops early, a tick after something has gone out, so that others can answer.
    pub(super) fn run_until(&mut self, then: Duration) {
        let (network, boot) = (&self.network, self.boot);
        network.enter(boot);
        self.now = self.runtime.block_on(async {
            let mut end = pin!(sleep_until(boot.by_own_clock + then.saturating_sub(boot.at)));
            poll_fn(|cx| {
                if network.has_output(cx) {
                    let soon = Instant::now() + TICK;
                    if soon < end.deadline() {
                        end.as_mut().reset(soon);
                    }
                }
                end.as_mut().poll(cx)
            })
            .await;
            boot.now()
        });
        network.leave();
    }

    /// It has stood still until now: all that was due meanwhile is due at once.
    pub(super) fn skip_to(&mut self, now: Duration) {
        let (network, boot) = (&self.network, self.boot);
        network.enter(boot);
        self.now = self.runtime.block_on(async {
            advance(now.saturating_sub(boot.now())).await;
            boot.now()
        });
        network.leave();
    }

    /// How its program has ended, if it has. The error is that of a panic.
    pub(super) fn exit(&mut self) -> Option<Exit> {
        self.program.is_finished().then(|| match self.runtime.block_on(&mut self.program) {
            Ok(exit) => exit,
            Err(panic) => Err(panic.into()),
        })
    }
}

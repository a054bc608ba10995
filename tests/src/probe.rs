//! Handlers that tell what becomes of them.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use grid::{Context, ManagerBuilder, RemoteError};
use tokio::sync::watch;

/// What became of the visits to a handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Visits {
    /// Calls that reached the handler.
    pub started: usize,
    /// Those that came to their end.
    pub finished: usize,
    /// Those whose future was dropped before.
    pub dropped: usize,
}

/// Counts visits. Clones are the same probe.
#[derive(Debug, Clone, Default)]
pub struct Probe {
    visits: Arc<watch::Sender<Visits>>,
}

/// One visit; dropped before it is finished, it counts as dropped.
#[derive(Debug)]
pub struct Visit {
    probe: Probe,
    finished: bool,
}

impl Probe {
    /// A visit begins.
    pub fn enter(&self) -> Visit {
        self.visits.send_modify(|visits| visits.started += 1);
        Visit { probe: self.clone(), finished: false }
    }

    /// What has been counted.
    pub fn visits(&self) -> Visits {
        *self.visits.borrow()
    }

    /// Waits until what has been counted fulfils a condition.
    ///
    /// # Panics
    /// It does not in half a minute.
    pub async fn until(&self, condition: impl Fn(&Visits) -> bool) {
        let mut visits = self.visits.subscribe();
        let fulfilled = async { visits.wait_for(condition).await.map(|_| ()) };
        let fulfilled = tokio::time::timeout(Duration::from_secs(30), fulfilled).await;
        fulfilled.unwrap_or_else(|_| panic!("{:?} after half a minute", self.visits())).expect("self holds the sender");
    }

    /// Serves [`HANG`]: it never ends by itself.
    pub fn hang(&self, builder: ManagerBuilder) -> ManagerBuilder {
        let probe = self.clone();
        builder.single(HANG, move |_, _| {
            let probe = probe.clone();
            async move {
                let _visit = probe.enter();
                pending::<Result<Bytes, RemoteError>>().await
            }
        })
    }

    /// Serves [`SLEEP`]: it answers with its payload, after as many milliseconds as the first two bytes say.
    pub fn sleep(&self, builder: ManagerBuilder) -> ManagerBuilder {
        let probe = self.clone();
        builder.single(SLEEP, move |_, payload: Bytes| {
            let probe = probe.clone();
            async move {
                let visit = probe.enter();
                let millis = u16::from_be_bytes([payload[0], payload[1]]);
                tokio::time::sleep(Duration::from_millis(millis.into())).await;
                visit.finish();
                Ok(payload)
            }
        })
    }
}

impl Visit {
    /// The visit comes to its end.
    pub fn finish(mut self) {
        self.finished = true;
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.probe.visits.send_modify(|visits| match self.finished {
            true => visits.finished += 1,
            false => visits.dropped += 1,
        });
    }
}

/// Serves [`ECHO`]: it answers with its payload.
pub fn echo(builder: ManagerBuilder) -> ManagerBuilder {
    builder.single(ECHO, |_: Context, payload: Bytes| async { Ok(payload) })
}

/// The payload with which [`SLEEP`] sleeps this long, which is less than 66 s.
pub fn sleep_for(time: Duration) -> [u8; 2] {
    u16::try_from(time.as_millis()).expect("less than 66 s").to_be_bytes()
}

/// Handler ids.
pub const ECHO: u8 = 10;
pub const HANG: u8 = 11;
pub const SLEEP: u8 = 12;

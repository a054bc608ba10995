//! A service of all kinds, and a middleware that writes down what it sees.

use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::stream;
use grid::{
    CallError, CallInfo, Connection, Context, Direction, Inbound, Manager, ManagerBuilder, MethodError, Middleware,
    Outbound, Refusal, RefusalReason, RemoteError, Stream,
};
use grid_tests::memory::Network;
use grid_tests::mesh::only;
use grid_tests::probe::Probe;

#[grid::service(id = 3)]
pub(crate) trait Stage {
    async fn echo(&self, cx: &Context, text: &str) -> Result<String, RemoteError>;
    async fn fail(&self) -> Result<(), RemoteError>;
    async fn panic(&self);
    async fn hang(&self);
    fn count(&self, to: u32) -> impl Stream<Item = u32>;
    async fn sum(&self, numbers: Inbound<u32>) -> u32;
    async fn double(&self, numbers: Inbound<u32>, doubled: Outbound<u32>) -> Result<(), RemoteError>;
}

#[derive(Clone, Default)]
pub(crate) struct Actor {
    pub(crate) probe: Probe,
}

impl Stage for Actor {
    /// With the metadata that the handler sees.
    async fn echo(&self, cx: &Context, text: &str) -> Result<String, RemoteError> {
        drop(self.probe.enter());
        Ok(format!(
            "{text}, tenant {}, user {}",
            cx.metadata("tenant").unwrap_or("-"),
            cx.metadata("user").unwrap_or("-")
        ))
    }

    async fn fail(&self) -> Result<(), RemoteError> {
        Err("no luck".into())
    }

    async fn panic(&self) {
        panic!("at the disco");
    }

    async fn hang(&self) {
        let _visit = self.probe.enter();
        pending().await
    }

    fn count(&self, to: u32) -> impl Stream<Item = u32> {
        stream::iter(0..to)
    }

    async fn sum(&self, mut numbers: Inbound<u32>) -> u32 {
        let _visit = self.probe.enter();
        let mut sum = 0;
        while let Some(number) = numbers.next().await {
            match number {
                Ok(number) => sum += number,
                // Nobody waits for what comes then.
                Err(_) => pending().await,
            }
        }
        sum
    }

    async fn double(&self, mut numbers: Inbound<u32>, doubled: Outbound<u32>) -> Result<(), RemoteError> {
        let _visit = self.probe.enter();
        while let Some(number) = numbers.next().await {
            doubled.send(2 * number?).await?;
        }
        Ok(())
    }
}

/// What a call is to meet.
#[derive(Clone, Default)]
pub(crate) struct Rules {
    /// Calls of this direction are refused.
    pub(crate) refuse_calls: Option<Direction>,
    /// Items of this direction with these bytes are refused.
    pub(crate) refuse_items: Option<(Direction, u8)>,
    /// Calls wait for so long first.
    pub(crate) wait: Duration,
    /// Metadata that is added to calls of this direction.
    pub(crate) add: Option<(Direction, &'static str, &'static str)>,
    /// Panics when it has written this line.
    pub(crate) panics_at: Option<&'static str>,
}

/// Writes down what it sees. Clones write into the same book.
#[derive(Clone, Default)]
pub(crate) struct Book {
    pub(crate) name: &'static str,
    pub(crate) lines: Arc<Mutex<Vec<String>>>,
    pub(crate) rules: Rules,
}

impl Book {
    pub(crate) fn new(name: &'static str, rules: Rules) -> Self {
        Self { name, lines: Arc::default(), rules }
    }

    /// Another one that writes into the same book.
    pub(crate) fn beside(&self, name: &'static str, rules: Rules) -> Self {
        Self { name, lines: Arc::clone(&self.lines), rules }
    }

    /// What was written so far, which is forgotten.
    pub(crate) fn read(&self) -> Vec<String> {
        std::mem::take(&mut self.lines.lock().unwrap())
    }

    fn write(&self, line: String) {
        self.lines.lock().unwrap().push(format!("{}: {line}", self.name));
        assert!(self.rules.panics_at != Some(&*line), "as told");
    }
}

impl Middleware for Book {
    async fn on_call(&self, call: &mut CallInfo, request: &[u8]) -> Result<(), Refusal> {
        let Rules { refuse_calls, wait, add, .. } = self.rules;
        self.write(format!("{:?} {call} of {} bytes", call.direction(), request.len()));
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        if refuse_calls == Some(call.direction()) {
            return Err(Refusal::new(RefusalReason::Forbidden, format!("{} says no", self.name)));
        }
        if let Some((direction, name, value)) = add
            && direction == call.direction()
        {
            call.set_metadata(name, value);
        }
        Ok(())
    }

    fn on_item(&self, call: &CallInfo, direction: Direction, item: &[u8]) -> Result<(), Refusal> {
        self.write(format!("{call} item {direction:?} {item:?}"));
        match self.rules.refuse_items {
            Some((refused, byte)) if (refused, &[byte][..]) == (direction, item) => {
                Err(Refusal::new(RefusalReason::BadRequest, format!("{} does not like {byte}", self.name)))
            }
            _ => Ok(()),
        }
    }

    fn on_end(&self, call: &CallInfo, outcome: &Result<(), CallError<MethodError>>) {
        self.write(match outcome {
            Ok(()) => format!("{call} ended well"),
            Err(CallError::Refused(refusal)) => format!("{call} refused: {refusal}"),
            Err(error) => format!("{call}: {error:?}"),
        });
    }
}

/// Two nodes, of which the left one calls, each with its middleware.
pub(crate) struct Play {
    pub(crate) network: Network,
    pub(crate) left: Manager,
    pub(crate) right: Manager,
    pub(crate) probe: Probe,
}

impl Play {
    pub(crate) async fn new(
        left: impl FnOnce(ManagerBuilder) -> ManagerBuilder,
        right: impl FnOnce(ManagerBuilder) -> ManagerBuilder,
    ) -> Self {
        let network = Network::default();
        let actor = Actor::default();
        let probe = actor.probe.clone();
        let serve = |builder: ManagerBuilder| {
            right(builder).serve(StageServer::new(actor.clone())).serve_at("balcony", StageServer::new(actor))
        };
        let (left, right) = network.pair(left, serve).await;
        Self { network, left, right, probe }
    }

    /// With one middleware on each side.
    pub(crate) async fn with(caller: &Book, server: &Book) -> Self {
        Self::new(|left| left.middleware(caller.clone()), |right| right.middleware(server.clone())).await
    }

    pub(crate) fn connection(&self) -> Connection {
        only(&self.left)
    }

    pub(crate) fn client(&self) -> StageClient {
        StageClient::new(self.connection())
    }
}

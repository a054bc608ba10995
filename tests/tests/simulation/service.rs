//! A service with a method for each kind of call, whose handlers do what the plan says and note that they ran.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use grid::{CallError, Context, Inbound, Outbound, SendError};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::ledger::{Ledger, Visit};
use super::plan::{Ends, Item, Plan};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Oops {
    /// As the plan says.
    Planned(usize),
    /// The call that the handler made did not succeed.
    NotCalledBack(String),
    /// What a handler saw of the end of its call: nobody hears of it.
    Unheard(String),
}

impl std::fmt::Display for Oops {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(self, f)
    }
}

impl From<SendError> for Oops {
    fn from(error: SendError) -> Self {
        Self::Unheard(error.to_string())
    }
}

impl From<CallError<Infallible>> for Oops {
    fn from(error: CallError<Infallible>) -> Self {
        Self::Unheard(error.to_string())
    }
}

#[grid::service(id = 3)]
pub(crate) trait Work {
    async fn single(&self, cx: &Context, plan: Plan, body: &str) -> Result<usize, Oops>;

    /// What is called back.
    async fn callback(&self, plan: Plan) -> Result<usize, Oops>;

    #[rpc(detach)]
    async fn detached(&self, plan: Plan, body: &str) -> Result<usize, Oops>;

    fn watch(&self, plan: Plan) -> impl Stream<Item = Result<Item, Oops>>;

    #[rpc(window = 3)]
    async fn produce(&self, plan: Plan, items: Outbound<Item>) -> Result<(), Oops>;

    #[rpc(window = 8)]
    async fn consume(&self, plan: Plan, items: Inbound<Item>) -> Result<usize, Oops>;

    #[rpc(window = 4)]
    async fn exchange(&self, plan: Plan, ins: Inbound<Item>, outs: Outbound<Item>) -> Result<(), Oops>;
}

pub(crate) struct Worker {
    pub(crate) ledger: Ledger,
    pub(crate) node: grid::sim::Node,
}

impl Worker {
    fn enter(&self, plan: &Plan) -> Visit {
        self.ledger.enter(plan.number, &self.node)
    }
}

impl Work for Worker {
    async fn single(&self, cx: &Context, plan: Plan, body: &str) -> Result<usize, Oops> {
        let visit = self.enter(&plan);
        assert_eq!((body.len(), cx.subroute()), (plan.bytes, plan.subroute()));
        if plan.calls_back() {
            let called = WorkClient::new(cx.connection()).callback(plan.clone()).await;
            let number = called.map_err(|error| Oops::NotCalledBack(error.to_string()))?;
            assert_eq!(number, plan.number, "an answer is that of its call");
        }
        end(&plan, visit).await
    }

    async fn callback(&self, plan: Plan) -> Result<usize, Oops> {
        assert_eq!(plan.caller, self.node.name());
        pause(plan.item_takes).await;
        Ok(plan.number)
    }

    async fn detached(&self, plan: Plan, body: &str) -> Result<usize, Oops> {
        let visit = self.enter(&plan);
        assert_eq!(body.len(), plan.bytes);
        end(&plan, visit).await
    }

    fn watch(&self, plan: Plan) -> impl Stream<Item = Result<Item, Oops>> {
        let visit = self.enter(&plan);
        stream::unfold((plan, Some(visit), 0), |(plan, mut visit, seq)| async move {
            if seq < plan.items {
                pause(plan.item_takes).await;
                return Some((Ok(plan.item(seq)), (plan, visit, seq + 1)));
            }
            let ended = end(&plan, visit.take()?).await;
            ended.err().map(|error| (Err(error), (plan, None, seq)))
        })
        .boxed()
    }

    async fn produce(&self, plan: Plan, items: Outbound<Item>) -> Result<(), Oops> {
        let visit = self.enter(&plan);
        for seq in 0..plan.items {
            pause(plan.item_takes).await;
            items.send(plan.item(seq)).await?;
        }
        end(&plan, visit).await.map(drop)
    }

    async fn consume(&self, plan: Plan, mut items: Inbound<Item>) -> Result<usize, Oops> {
        let visit = self.enter(&plan);
        let mut seq = 0;
        while let Some(item) = items.next().await {
            plan.check(seq, &item?);
            seq += 1;
            pause(plan.item_takes).await;
        }
        assert_eq!(seq, plan.items, "an input that was cut short does not look like one that has ended: {plan:?}");
        end(&plan, visit).await
    }

    async fn exchange(&self, plan: Plan, mut ins: Inbound<Item>, outs: Outbound<Item>) -> Result<(), Oops> {
        let visit = self.enter(&plan);
        let mut seq = 0;
        while let Some(item) = ins.next().await {
            let item = item?;
            plan.check(seq, &item);
            seq += 1;
            pause(plan.item_takes).await;
            outs.send(item).await?;
        }
        assert_eq!(seq, plan.items, "an input that was cut short does not look like one that has ended: {plan:?}");
        end(&plan, visit).await.map(drop)
    }
}

async fn end(plan: &Plan, visit: Visit) -> Result<usize, Oops> {
    pause(plan.handler_takes).await;
    if plan.ends == Ends::Never {
        pending::<()>().await;
    }
    visit.finish();
    match plan.ends {
        Ends::Answer | Ends::Never => Ok(plan.number),
        Ends::Error => Err(Oops::Planned(plan.number)),
        // Not seen by the simulation, as it is as planned.
        Ends::Panic => std::panic::resume_unwind(Box::new("as planned")),
    }
}

/// No pause at all if it is of no length.
pub(crate) async fn pause(millis: u64) {
    if millis > 0 {
        sleep(Duration::from_millis(millis)).await;
    }
}

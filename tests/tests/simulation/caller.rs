//! Makes the calls of a node.

use std::sync::Arc;
use std::time::Duration;

use grid::sim::Node;
use grid::{CallError, Connection, Inbound, Outbound};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

use super::ledger::{Ledger, Outcome};
use super::plan::{Begins, Item, Kind, Plan};
use super::service::{Oops, WorkClient, pause};

type Ends<T> = Result<T, CallError<Oops>>;

pub(crate) async fn make(plan: Plan, connection: Connection, ledger: Ledger, node: Node, mended: Arc<Semaphore>) {
    match plan.begins {
        Begins::After(millis) => sleep(Duration::from_millis(millis).saturating_sub(node.elapsed())).await,
        Begins::WhenMended => drop(mended.acquire().await),
    }
    if plan.waits {
        // Without one the call ends at once, which is as good a case.
        timeout(PATIENCE, connection.ready()).await.ok();
    }
    let running = ledger.begin(plan.number, &node);
    let start = Instant::now();
    let connection = plan.subroute().map_or(connection.clone(), |route| connection.subroute(route));
    let call = perform(&plan, WorkClient::new(connection));
    let ended = match plan.gives_up {
        Some(after) => timeout(Duration::from_millis(after), call).await.ok(),
        None => Some(call.await),
    };
    let outcome = match ended {
        Some(Ok(())) => Outcome::Done,
        Some(Err(error)) => Outcome::Failed(error),
        None => Outcome::GaveUp,
    };
    running.end(start.elapsed(), outcome);
}

macro_rules! call {
    ($plan:ident, $call:expr) => {
        match $plan.timeout() {
            Some(timeout) => $call.timeout(timeout).await,
            None => $call.await,
        }
    };
}

async fn perform(plan: &Plan, work: WorkClient) -> Ends<()> {
    match plan.kind {
        Kind::Single => {
            let answer = call!(plan, work.single(plan.clone(), &plan.body()))?;
            assert_eq!(answer, plan.number, "an answer is that of its call");
        }
        Kind::Detached => {
            let answer = call!(plan, work.detached(plan.clone(), &plan.body()))?;
            assert_eq!(answer, plan.number, "an answer is that of its call");
        }
        Kind::Watch => read(plan, call!(plan, work.watch(plan.clone()))?).await?,
        Kind::Produce => read(plan, call!(plan, work.produce(plan.clone()))?).await?,
        Kind::Consume => {
            let (items, answer) = call!(plan, work.consume(plan.clone()))?;
            send(plan, items).await;
            assert_eq!(answer.await?, plan.number, "an answer is that of its call");
        }
        Kind::Exchange => {
            let (outs, ins) = call!(plan, work.exchange(plan.clone()))?;
            let ((), read) = tokio::join!(biased; send(plan, outs), read(plan, ins));
            read?;
        }
    }
    Ok(())
}

/// How the call has ended is told by the half that reads.
async fn send(plan: &Plan, items: Outbound<Item>) {
    for seq in 0..plan.items {
        if items.send(plan.item(seq)).await.is_err() {
            return;
        }
    }
    items.finish().await.ok();
}

async fn read(plan: &Plan, mut items: Inbound<Item, Oops>) -> Ends<()> {
    let mut seq = 0;
    let ended = loop {
        match items.next().await {
            Some(Ok(item)) => {
                plan.check(seq, &item);
                seq += 1;
                pause(plan.reading_takes).await;
            }
            Some(Err(error)) => break Err(error),
            None => break Ok(()),
        }
    };
    assert!(items.next().await.is_none(), "nothing comes after the end: {plan:?}");
    // What the handler sent before its own end comes before that.
    if matches!(ended, Ok(()) | Err(CallError::Remote(_))) {
        assert_eq!(seq, plan.items, "nothing is lost: {plan:?}");
    }
    ended
}

/// How long a caller waits for a link.
const PATIENCE: Duration = Duration::from_secs(2);

//! The callers, which do as their plans say.

use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use grid::{CallError, Connection, Inbound, Outbound, RemoteError, SendError};
use tokio::time::{Instant, sleep, timeout};

use crate::handler::{SINGLE, stream_id};
use crate::oracle::{End, Oracle};
use crate::plan::{Drops, Kind, Plan, item, millis};

pub(crate) async fn call(connection: Connection, plan: Plan, oracle: Arc<Oracle>) {
    sleep(millis(plan.begins)).await;
    let start = Instant::now();
    let calling = async {
        match plan.kind {
            Kind::Single => single(connection, plan).await,
            Kind::Responses | Kind::Requests | Kind::TwoWay | Kind::Flood => stream(connection, plan).await,
        }
    };
    let end = match plan.gives_up {
        Some(gives_up) if gives_up.drops == Drops::All => {
            timeout(millis(gives_up.after), calling).await.unwrap_or(End::GivenUp)
        }
        _ => calling.await,
    };
    oracle.judge(plan, start.elapsed(), end);
}

async fn single(connection: Connection, plan: Plan) -> End {
    let mut call = connection.single(SINGLE, plan.payload());
    if let Some(timeout) = plan.timeout {
        call = call.timeout(millis(timeout));
    }
    match call.await {
        Ok(answer) => {
            assert!(answer == plan.payload(), "{plan:?} got the answer of another call");
            End::Outcome { items: 0, error: None }
        }
        Err(error) => End::Outcome { items: 0, error: Some(error) },
    }
}

async fn stream(connection: Connection, plan: Plan) -> End {
    let mut call = connection.stream(stream_id(plan.kind, plan.served), plan.windows(), plan.payload());
    if let Some(timeout) = plan.timeout {
        call = call.timeout(millis(timeout));
    }
    let (outbound, inbound) = match call.await {
        Ok(halves) => halves,
        Err(error) => return End::Outcome { items: 0, error: Some(error) },
    };
    let sending = send(outbound, plan);
    let reading = read(inbound, plan);
    if plan.kind == Kind::Flood {
        sending.await;
        let (items, error) = reading.await;
        return End::Outcome { items, error };
    }
    let ((), (items, error)) = tokio::join!(sending, reading);
    End::Outcome { items, error }
}

/// Sends the items, or some of them, and the end.
async fn send(outbound: Outbound<Bytes>, plan: Plan) {
    let sending = async {
        for place in 0..plan.items[0] {
            outbound.send(item(plan.number, place)).await?;
        }
        Ok::<_, SendError>(())
    };
    let sent = match plan.gives_up {
        Some(gives_up) if gives_up.drops == Drops::Outbound => {
            match timeout(millis(gives_up.after), pin!(sending)).await {
                Ok(sent) => sent,
                Err(_) => return,
            }
        }
        _ => sending.await,
    };
    if sent.is_ok() && plan.windows().inbound > 0 {
        let finished = outbound.finish().await;
        assert!(matches!(finished, Ok(()) | Err(SendError::Ended)), "{plan:?}: {finished:?}");
    }
}

/// Reads to the end. Gives the number of items, and the error at the end if there is one.
async fn read(mut inbound: Inbound<Bytes, RemoteError>, plan: Plan) -> (u8, Option<CallError<RemoteError>>) {
    let mut items = 0;
    let error = loop {
        match inbound.next().await {
            Some(Ok(read)) => {
                assert!(read == item(plan.number, items), "{plan:?}: item {items} is another");
                items += 1;
                sleep(millis(plan.reads_in[0])).await;
            }
            Some(Err(error)) => break Some(error),
            None => break None,
        }
    };
    for _ in 0..2 {
        assert!(inbound.next().await.is_none(), "{plan:?}: something comes after the end");
    }
    (items, error)
}

//! One call of each kind, to its end.

use std::fmt::Display;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryFutureExt;
use grid::{CallError, Connection, Inbound, Outbound, RemoteError, SendError, Windows};
use tokio::time::{sleep, timeout};

use super::handlers::{CALL_BACK, Order, REQUESTS, RESPONSES, TWO_WAY, WINDOW};
use super::{DEADLINE, End, Kind, Ledger};
use crate::probe::{ECHO, HANG};

/// An end that a call of its kind must not have, in words.
type Fault = String;
type Halves = (Outbound<Bytes>, Inbound<Bytes, RemoteError>);

/// Makes the call.
pub(super) async fn call(connection: &Connection, kind: Kind, ledger: &Ledger) -> Result<End, Fault> {
    match kind {
        Kind::Small => single(connection, ECHO, fastrand::usize(0..1 << 10)).await,
        Kind::Large => single(connection, ECHO, fastrand::usize(0..256 << 10)).await,
        Kind::CallBack => single(connection, CALL_BACK, fastrand::usize(0..1 << 10)).await,
        Kind::Responses => responses(connection, ledger, Order::draw(), WINDOW, Duration::ZERO).await,
        Kind::SlowReader => {
            let order = Order { items: 16, ..Order::draw() };
            responses(connection, ledger, order, 2, Duration::from_millis(5)).await
        }
        Kind::Requests => requests(connection, ledger).await,
        Kind::TwoWay => two_way(connection, ledger).await,
        Kind::Late => {
            let late = connection.single(HANG, "").timeout(millis()).await;
            late.map_or_else(end_of, |_| Err("answered by what never answers".to_owned()))
        }
        Kind::GivenUp => {
            let call = connection.single(HANG, "").timeout(DEADLINE);
            given_up(call.into_future().map_ok_or_else(end_of, |_| Ok(End::Answered))).await
        }
        Kind::GivenUpStream => given_up(two_way(connection, ledger)).await,
    }
}

async fn given_up(call: impl Future<Output = Result<End, Fault>>) -> Result<End, Fault> {
    timeout(millis(), call).await.unwrap_or(Ok(End::GivenUp))
}

async fn single(connection: &Connection, handler: u8, bytes: usize) -> Result<End, Fault> {
    let payload = vec![fastrand::u8(..); bytes];
    match connection.single(handler, &payload).timeout(DEADLINE).await {
        Ok(answer) if answer == payload => Ok(End::Answered),
        Ok(_) => Err("the answer is another".to_owned()),
        // The deadline of a call is that of the one that its handler makes.
        Err(CallError::Remote(error)) if handler == CALL_BACK && error.message().contains("deadline") => Ok(End::Late),
        Err(error) => end_of(error),
    }
}

async fn open(connection: &Connection, id: u8, windows: impl Into<Windows>, order: Order) -> Result<Halves, Opening> {
    connection.stream(id, windows, order.payload()).timeout(DEADLINE).await
}
type Opening = CallError<RemoteError>;

async fn responses(
    connection: &Connection,
    ledger: &Ledger,
    order: Order,
    window: u32,
    pause: Duration,
) -> Result<End, Fault> {
    match open(connection, RESPONSES, Windows::responses(window), order).await {
        Ok((_outbound, inbound)) => read(inbound, ledger, order, pause).await,
        Err(error) => end_of(error),
    }
}

async fn requests(connection: &Connection, ledger: &Ledger) -> Result<End, Fault> {
    let order = Order::draw();
    let (outbound, mut inbound) = match open(connection, REQUESTS, Windows::requests(WINDOW), order).await {
        Ok(halves) => halves,
        Err(error) => return end_of(error),
    };
    send(outbound, order).await?;
    match inbound.next().await {
        Some(Ok(count)) if *count == order.items.to_be_bytes() => ledger.add_items(order.items),
        Some(Ok(_)) => return Err("another number of requests has come".to_owned()),
        Some(Err(error)) => return end_of(error),
        None => return Err("no answer to requests".to_owned()),
    }
    finished(&mut inbound).await
}

async fn two_way(connection: &Connection, ledger: &Ledger) -> Result<End, Fault> {
    let order = Order::draw();
    match open(connection, TWO_WAY, WINDOW, order).await {
        Ok((outbound, inbound)) => {
            let (sent, end) = tokio::join!(send(outbound, order), read(inbound, ledger, order, Duration::ZERO));
            sent.and(end)
        }
        Err(error) => end_of(error),
    }
}

/// Sends all items, unless the call ends before; the half that reads tells how it did.
async fn send(outbound: Outbound<Bytes>, order: Order) -> Result<(), Fault> {
    for number in 0..order.items {
        match outbound.send(order.item(number)).await {
            Ok(()) => {}
            Err(SendError::Ended) => return Ok(()),
            Err(other) => return Err(other.to_string()),
        }
    }
    match outbound.finish().await {
        Ok(()) | Err(SendError::Ended) => Ok(()),
        Err(other) => Err(other.to_string()),
    }
}

/// Reads to the end: all items in their order, or an error.
async fn read(
    mut inbound: Inbound<Bytes, RemoteError>,
    ledger: &Ledger,
    order: Order,
    pause: Duration,
) -> Result<End, Fault> {
    for number in 0..order.items {
        match inbound.next().await {
            Some(Ok(item)) if item == order.item(number) => ledger.add_items(1),
            Some(Ok(_)) => return Err(format!("item {number} is another")),
            Some(Err(error)) => return end_of(error),
            None => return Err(format!("an end after {number} of {} items", order.items)),
        }
        if !pause.is_zero() {
            sleep(pause).await;
        }
    }
    finished(&mut inbound).await
}

async fn finished(inbound: &mut Inbound<Bytes, RemoteError>) -> Result<End, Fault> {
    match inbound.next().await {
        None => Ok(End::Answered),
        Some(Ok(_)) => Err("more items than there are".to_owned()),
        Some(Err(error)) => end_of(error),
    }
}

fn end_of<E: Display>(error: CallError<E>) -> Result<End, Fault> {
    match error {
        CallError::Disconnected(_) => Ok(End::Disconnected),
        CallError::DeadlineExceeded => Ok(End::Late),
        other => Err(other.to_string()),
    }
}

fn millis() -> Duration {
    Duration::from_millis(fastrand::u64(1..20))
}

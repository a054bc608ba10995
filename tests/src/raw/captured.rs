//! The handlers that the Go server of the captures served.

use bytes::Bytes;
use grid::{Inbound, ManagerBuilder, Outbound, RemoteError, Windows};

use super::gate::Gate;

/// Serves what the Go server of the captures served. Where that one slept, calls wait at the gate.
pub fn as_captured(builder: ManagerBuilder, gate: &Gate) -> ManagerBuilder {
    streams(singles(builder, gate), gate)
}

/// The windows of the stream handlers of the captures, which both sides have to know.
///
/// # Panics
/// The captures have no stream with this handler.
pub fn captured_windows(handler: u32) -> Windows {
    match handler {
        20 | 24 | 27 | 31 => 1.into(),
        22 => Windows::requests(1),
        21 | 23 | 25 | 28 | 42 | 43 | 61 | 62 => Windows::responses(1),
        29 => Windows::responses(3),
        other => panic!("no stream of the captures has the handler {other}"),
    }
}

/// An item of the stream that counts: its number, and the low byte of that to fill it.
pub fn counted(number: u32) -> Bytes {
    let [.., low] = number.to_be_bytes();
    [&number.to_be_bytes()[..], &[low; 508]].concat().into()
}

fn singles(builder: ManagerBuilder, gate: &Gate) -> ManagerBuilder {
    let gate = gate.clone();
    builder
        .single(10_u8, |_, payload: Bytes| async { Ok(Some(payload).filter(|payload| !payload.is_empty())) })
        .single(11_u8, |_, payload: Bytes| async move {
            Err::<Bytes, _>(RemoteError::new(format!("boom: {}", payload.escape_ascii())))
        })
        .single(13_u8, move |_, payload: Bytes| {
            let gate = gate.clone();
            async move {
                gate.pass(payload.clone()).await;
                Ok(payload)
            }
        })
        .single(15_u8, |_, payload| kaboom::<Bytes>(payload))
        .single(
            16_u8,
            |_, payload: Bytes| async move { Ok(if payload.is_empty() { Bytes::from("nil") } else { payload }) },
        )
        .single(19_u8, |_, _| async { Ok(Bytes::new()) })
        .single(44_u8, |_, _| async { Err::<Bytes, _>(RemoteError::new("")) })
}

/// Grid has no nil items: where the Go server sent or told of one, these send or tell of an empty one.
fn streams(builder: ManagerBuilder, gate: &Gate) -> ManagerBuilder {
    let gate = gate.clone();
    let windows = captured_windows;
    builder
        .stream(20_u8, windows(20), |_, prefix, inbound, outbound| echo(prefix, inbound, outbound))
        .stream(21_u8, windows(21), |_, count, _, outbound| count_to(count, outbound))
        .stream(22_u8, windows(22), |_, _, inbound, outbound| count_inputs(inbound, outbound))
        .stream(23_u8, windows(23), |_, payload: Bytes, _, outbound| async move {
            send_all(&outbound, ["resp0", "resp1", "resp2"]).await?;
            Err(RemoteError::new(format!("failed after 3: {}", payload.escape_ascii())))
        })
        .stream(24_u8, windows(24), move |_, payload, inbound, outbound| {
            let gate = gate.clone();
            async move {
                send_all(&outbound, ["started"]).await?;
                gate.stay(payload).await;
                drop(inbound);
                Ok(())
            }
        })
        .stream(25_u8, windows(25), |_, payload, _, _| kaboom(payload))
        .stream(27_u8, windows(27), |_, payload, inbound, outbound| tell_kinds(payload, inbound, outbound))
        .stream(28_u8, windows(28), |_, _, _, outbound| async move { send_all(&outbound, ["", "", ""]).await })
        .stream(29_u8, windows(29), |_, _, _, outbound| async move { send_all(&outbound, ["a", "", "b"]).await })
        .stream(42_u8, windows(42), |_, _, _, outbound| async move { send_all(&outbound, ["a", "", "b"]).await })
        .stream(43_u8, windows(43), |_, _, _, _| async { Err(RemoteError::new("")) })
}

async fn kaboom<T>(payload: Bytes) -> Result<T, RemoteError> {
    panic!("kaboom: {}", payload.escape_ascii())
}

async fn echo(prefix: Bytes, mut inbound: Inbound<Bytes>, outbound: Outbound<Bytes>) -> Result<(), RemoteError> {
    while let Some(item) = inbound.next().await {
        outbound.send([&prefix[..], &item?].concat().into()).await?;
    }
    Ok(())
}

async fn count_to(count: Bytes, outbound: Outbound<Bytes>) -> Result<(), RemoteError> {
    let count: u32 = std::str::from_utf8(&count).ok().and_then(|count| count.parse().ok()).expect("a number");
    for number in 0..count {
        outbound.send(counted(number)).await?;
    }
    Ok(())
}

async fn count_inputs(mut inbound: Inbound<Bytes>, outbound: Outbound<Bytes>) -> Result<(), RemoteError> {
    let mut count = 0_u32;
    while let Some(item) = inbound.next().await {
        item?;
        count += 1;
    }
    Ok(outbound.send(count.to_string().into()).await?)
}

async fn tell_kinds(payload: Bytes, mut inbound: Inbound<Bytes>, outbound: Outbound<Bytes>) -> Result<(), RemoteError> {
    let kind = |item: Bytes| if item.is_empty() { "empty".to_owned() } else { format!("len={}", item.len()) };
    outbound.send(kind(payload).into()).await?;
    while let Some(item) = inbound.next().await {
        outbound.send(kind(item?).into()).await?;
    }
    Ok(())
}

async fn send_all<const N: usize>(outbound: &Outbound<Bytes>, items: [&'static str; N]) -> Result<(), RemoteError> {
    for item in items {
        outbound.send(item.into()).await?;
    }
    Ok(())
}

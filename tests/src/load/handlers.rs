//! What the calls of a load are answered by.

use bytes::Bytes;
use grid::{Context, HandlerId, Inbound, ManagerBuilder, Outbound, RemoteError, Windows};

use crate::probe::{ECHO, HANG, Probe, SLEEP, echo};
use crate::streams::large_item;

/// Serves all kinds of calls.
pub fn serve(probe: &Probe, builder: ManagerBuilder) -> ManagerBuilder {
    let [responses, requests, two_way] = [(); 3].map(|()| probe.clone());
    probe
        .sleep(probe.hang(echo(builder)))
        .single(CALL_BACK, async |cx: Context, payload: Bytes| Ok(cx.connection().single(ECHO, payload).await?))
        .stream(RESPONSES, Windows::responses(WINDOW), move |_, payload, _, outbound| {
            let visit = responses.enter();
            async move {
                let ended = respond(Order::read(&payload), outbound).await;
                visit.finish();
                ended
            }
        })
        .stream(REQUESTS, Windows::requests(WINDOW), move |_, payload, inbound, outbound| {
            let visit = requests.enter();
            async move {
                let ended = take(Order::read(&payload), inbound, outbound).await;
                visit.finish();
                ended
            }
        })
        .stream(TWO_WAY, WINDOW, move |_, payload, inbound, outbound| {
            let visit = two_way.enter();
            async move {
                let ended = reflect(Order::read(&payload), inbound, outbound).await;
                visit.finish();
                ended
            }
        })
}

/// Lets guests call all that [`serve`] serves.
pub fn open_to_guests(builder: ManagerBuilder) -> ManagerBuilder {
    builder.allow_guests([ECHO, HANG, SLEEP, CALL_BACK, RESPONSES, REQUESTS, TWO_WAY].map(HandlerId::from))
}

async fn respond(order: Order, outbound: Outbound<Bytes>) -> Result<(), RemoteError> {
    for number in 0..order.items {
        outbound.send(order.item(number)).await?;
    }
    Ok(())
}

async fn take(order: Order, mut inbound: Inbound<Bytes>, outbound: Outbound<Bytes>) -> Result<(), RemoteError> {
    let mut items = 0;
    while let Some(item) = inbound.next().await {
        assert!(item? == order.item(items), "item {items} of requests is another");
        items += 1;
    }
    outbound.send(items.to_be_bytes().to_vec().into()).await?;
    Ok(())
}

async fn reflect(order: Order, mut inbound: Inbound<Bytes>, outbound: Outbound<Bytes>) -> Result<(), RemoteError> {
    let mut items = 0;
    while let Some(item) = inbound.next().await {
        let item = item?;
        assert!(item == order.item(items), "item {items} both ways is another");
        items += 1;
        outbound.send(item).await?;
    }
    Ok(())
}

/// Which items a stream carries; what it is opened with says it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Order {
    pub(super) items: usize,
    pub(super) bytes: usize,
}

impl Order {
    /// Some items, mostly small ones.
    pub(super) fn draw() -> Self {
        match fastrand::u8(0..8) {
            0 => Self { items: fastrand::usize(0..16), bytes: fastrand::usize(4..64 << 10) },
            _ => Self { items: fastrand::usize(0..128), bytes: fastrand::usize(4..512) },
        }
    }

    pub(super) fn payload(self) -> Vec<u8> {
        [self.items.to_be_bytes(), self.bytes.to_be_bytes()].concat()
    }

    fn read(payload: &[u8]) -> Self {
        let number = |part: &[u8]| usize::from_be_bytes(part.try_into().expect("eight bytes"));
        Self { items: number(&payload[..8]), bytes: number(&payload[8..]) }
    }

    pub(super) fn item(self, number: usize) -> Bytes {
        large_item(number, self.bytes)
    }
}

/// Asks the caller's [`ECHO`] for the answer.
pub const CALL_BACK: u8 = 40;
pub(super) const RESPONSES: u8 = 41;
pub(super) const REQUESTS: u8 = 42;
pub(super) const TWO_WAY: u8 = 43;
/// Small enough that credits go to and fro.
pub(super) const WINDOW: u32 = 16;

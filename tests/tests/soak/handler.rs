//! The handlers, which do as the plan says that they are called with.

use bytes::Bytes;
use grid::{Inbound, ManagerBuilder, Outbound, RemoteError};
use grid_tests::mesh::quick;
use grid_tests::probe::Probe;
use tokio::time::sleep;

use crate::plan::{Kind, Plan, SERVED, item, millis};

/// Handler ids; to that of streams the kind and the number of the window are added.
pub(crate) const SINGLE: u8 = 20;
pub(crate) const STREAM: u8 = 30;

pub(crate) fn stream_id(kind: Kind, served: u8) -> u8 {
    STREAM + kind as u8 * 3 + served
}

pub(crate) fn serve(probe: &Probe, builder: ManagerBuilder) -> ManagerBuilder {
    let mut builder = quick(builder).limits(|limits| {
        limits.outbox_bytes_max = 2 << 10;
        limits.unread_bytes_max = 2 << 20;
    });
    let visited = probe.clone();
    builder = builder.single(SINGLE, move |_, payload: Bytes| {
        let visit = visited.enter();
        async move {
            let orders = Orders::read(&payload);
            sleep(millis(orders.reads_in)).await;
            visit.finish();
            orders.end().map(|()| payload)
        }
    });
    for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Single) {
        for (served, window) in (0..).zip(SERVED) {
            let visited = probe.clone();
            let id = stream_id(kind, served);
            builder = builder.stream(id, kind.windows(window), move |_, payload, inbound, outbound| {
                let visit = visited.enter();
                async move {
                    let ended = stream(Orders::read(&payload), inbound, outbound).await;
                    visit.finish();
                    ended
                }
            });
        }
    }
    builder
}

async fn stream(orders: Orders, mut inbound: Inbound<Bytes>, outbound: Outbound<Bytes>) -> Result<(), RemoteError> {
    let sending = async {
        for place in 0..orders.items[1] {
            outbound.send(item(orders.number, place)).await?;
        }
        Ok::<_, RemoteError>(())
    };
    let reading = async {
        for place in 0..orders.handler_reads {
            let Some(read) = inbound.next().await else {
                // Only an input that has come to its end is one.
                assert_eq!(place, orders.items[0], "call {}: the input was cut short", orders.number);
                return Ok(());
            };
            let read = read.map_err(RemoteError::from)?;
            assert!(read == item(orders.number, place), "call {}: item {place} is another", orders.number);
            sleep(millis(orders.reads_in)).await;
        }
        Ok::<_, RemoteError>(())
    };
    match orders.kind {
        Kind::Flood => {
            sending.await?;
            reading.await?;
        }
        Kind::Requests => {
            reading.await?;
            sending.await?;
        }
        Kind::Single | Kind::Responses | Kind::TwoWay => {
            let (sent, read) = tokio::join!(sending, reading);
            sent?;
            read?;
        }
    }
    orders.end()
}

/// What the payload of a call says.
struct Orders {
    kind: Kind,
    items: [u8; 2],
    reads_in: u8,
    handler_reads: u8,
    ends_with: u8,
    number: u32,
}

impl Orders {
    fn read(payload: &[u8]) -> Self {
        Self {
            kind: Kind::ALL[usize::from(payload[0])],
            items: [payload[1], payload[2]],
            reads_in: payload[3],
            handler_reads: payload[4],
            ends_with: payload[5],
            number: u32::from_be_bytes(payload[6..10].try_into().expect("four bytes")),
        }
    }

    fn end(&self) -> Result<(), RemoteError> {
        match self.ends_with {
            0 => Ok(()),
            1 => Err(RemoteError::new(Plan::error(self.number))),
            _ => std::panic::resume_unwind(Box::new("as planned")),
        }
    }
}

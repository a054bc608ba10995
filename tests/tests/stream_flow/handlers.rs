//! Handlers whose pace a test sets.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use grid::{Inbound, ManagerBuilder, Outbound, RemoteError, SendError, Windows};
use grid_tests::probe::Probe;
use grid_tests::streams::{item, large_item};
use tokio::sync::{Semaphore, watch};

/// Sends each item back.
pub(crate) const ECHO: u8 = 20;
/// For each item that comes, which is a [`demand`], sends so many items of so many bytes.
pub(crate) const SUPPLY: u8 = 21;
/// Takes items as far as the [`Tap`] of its opening's name lets it, and answers with their number.
pub(crate) const COLLECT: u8 = 22;
/// Sends items without end, and reads none.
pub(crate) const FLOOD: u8 = 23;

/// Asks [`SUPPLY`] for items.
pub(crate) fn demand(count: usize, bytes: usize) -> Bytes {
    [item(count), item(bytes)].concat().into()
}

fn demanded(demand: &[u8]) -> (usize, usize) {
    let number = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().expect("four bytes"));
    (number(&demand[..4]) as usize, number(&demand[4..]) as usize)
}

/// How far readers may go, by the names of their streams. Clones are the same taps.
#[derive(Clone, Default)]
pub(crate) struct Taps {
    taps: Arc<Mutex<HashMap<Bytes, Arc<Tap>>>>,
    pub(crate) probe: Probe,
}

/// How far the reader of one stream may go, and what it has read.
pub(crate) struct Tap {
    permits: Semaphore,
    read: watch::Sender<Vec<Bytes>>,
}

impl Taps {
    pub(crate) fn tap(&self, name: impl Into<Bytes>) -> Arc<Tap> {
        let new = || Arc::new(Tap { permits: Semaphore::new(0), read: watch::Sender::default() });
        Arc::clone(self.taps.lock().unwrap().entry(name.into()).or_insert_with(new))
    }

    /// Serves all handlers of this module.
    pub(crate) fn serve(&self, builder: ManagerBuilder, windows: impl Into<Windows>) -> ManagerBuilder {
        let (windows, taps) = (windows.into(), self.clone());
        let (echo, supply, flood) = (self.probe.clone(), self.probe.clone(), self.probe.clone());
        builder
            .stream(ECHO, windows, move |_, _, mut inbound, outbound| {
                let visit = echo.enter();
                async move {
                    while let Some(item) = inbound.next().await {
                        outbound.send(item?).await?;
                    }
                    visit.finish();
                    Ok(())
                }
            })
            .stream(SUPPLY, windows, move |_, _, mut inbound, outbound| {
                let visit = supply.enter();
                async move {
                    while let Some(demand) = inbound.next().await {
                        let (count, bytes) = demanded(&demand?);
                        for number in 0..count {
                            outbound.send(large_item(number, bytes)).await?;
                        }
                    }
                    visit.finish();
                    Ok(())
                }
            })
            .stream(COLLECT, windows, move |_, name, inbound, outbound| {
                let visit = taps.probe.enter();
                let tap = taps.tap(name);
                async move {
                    tap.collect(inbound, outbound).await?;
                    visit.finish();
                    Ok(())
                }
            })
            .stream(FLOOD, windows, move |_, size, inbound, outbound| {
                let visit = flood.enter();
                async move {
                    let _unread = inbound;
                    flood_with(&outbound, demanded(&[&item(0), &size[..]].concat()).1, &AtomicUsize::new(0)).await;
                    visit.finish();
                    Ok(())
                }
            })
    }
}

impl Tap {
    async fn collect(&self, mut inbound: Inbound<Bytes>, outbound: Outbound<Bytes>) -> Result<(), RemoteError> {
        loop {
            self.permits.acquire().await.expect("it is never closed").forget();
            match inbound.next().await {
                Some(item) => {
                    let item = item?;
                    self.read.send_modify(|read| read.push(item));
                }
                None => return Ok(outbound.send(item(self.read().len())).await?),
            }
        }
    }

    /// Lets the reader take so many items more; the end counts as one.
    pub(crate) fn open(&self, items: usize) {
        self.permits.add_permits(items);
    }

    /// Lets the reader take all that comes.
    pub(crate) fn open_wide(&self) {
        self.permits.add_permits(1 << 20);
    }

    pub(crate) fn read(&self) -> Vec<Bytes> {
        self.read.borrow().clone()
    }

    /// Waits until the reader has taken so many items in all.
    pub(crate) async fn until(&self, items: usize) {
        self.read.subscribe().wait_for(|read| read.len() >= items).await.expect("self holds the sender");
    }
}

/// Sends numbered items of this size until the stream has ended.
pub(crate) async fn flood_with(outbound: &Outbound<Bytes>, bytes: usize, sent: &AtomicUsize) {
    loop {
        let number = sent.load(Ordering::SeqCst);
        match outbound.send(large_item(number, bytes)).await {
            Ok(()) => sent.store(number + 1, Ordering::SeqCst),
            Err(error) => {
                assert_eq!(error, SendError::Ended);
                return;
            }
        }
    }
}

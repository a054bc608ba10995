//! The two sides of one stream: what sends and what reads, until they are told that the end has come.

use std::convert::Infallible;
use std::future::{pending, ready};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use grid::{Context, Inbound, ManagerBuilder, Outbound, RemoteError, SendError};
use grid_tests::probe::Probe;
use grid_tests::streams::{Read, item, read_all};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The handler.
pub(crate) const ACT: u8 = 20;

/// Items that a sender sends whose reader reads: more than the smallest window, less than the largest.
pub(crate) const FEW: usize = 3;

/// Which senders wait for credits, as nobody reads what they sent. Directions are seen from the handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Blocked {
    pub(crate) inbound: bool,
    pub(crate) outbound: bool,
}

impl Blocked {
    pub(crate) const WAYS: [Self; 4] = [
        Self { inbound: false, outbound: false },
        Self { inbound: true, outbound: false },
        Self { inbound: false, outbound: true },
        Self { inbound: true, outbound: true },
    ];
}

/// How the handler ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Not by itself.
    Never,
    /// Well, when it is told to.
    Well,
    /// Well, when its input has ended, which it reads when it is told to.
    AfterInput,
    /// Well, when it is told to, with the input in its own hands and not read.
    InputUnread,
    Error,
    Panic,
}

/// What the handler is to do, and what is seen of it. Clones are the same stage.
#[derive(Clone)]
pub(crate) struct Stage {
    inner: Arc<Inner>,
}

struct Inner {
    blocked: Blocked,
    ending: Ending,
    probe: Probe,
    /// The handler is to end.
    end: watch::Sender<bool>,
    /// The end has come.
    over: watch::Sender<bool>,
    sent: Arc<AtomicUsize>,
    tasks: Mutex<Option<Tasks>>,
}

/// What the handler gave its halves to. They outlive it.
pub(crate) struct Tasks {
    /// None if it kept its input itself.
    pub(crate) reader: Option<BoxFuture<'static, Read<Infallible>>>,
    pub(crate) sender: JoinHandle<()>,
}

impl Stage {
    pub(crate) fn new(blocked: Blocked, ending: Ending) -> Self {
        let inner = Inner {
            blocked,
            ending,
            probe: Probe::default(),
            end: watch::Sender::new(false),
            over: watch::Sender::new(false),
            sent: Arc::default(),
            tasks: Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Serves [`ACT`].
    pub(crate) fn serve(&self, builder: ManagerBuilder, window: u32) -> ManagerBuilder {
        let stage = self.clone();
        builder.stream(ACT, window, move |_: Context, _, inbound, outbound| stage.clone().act(inbound, outbound))
    }

    async fn act(self, mut inbound: Inbound<Bytes>, outbound: Outbound<Bytes>) -> Result<(), RemoteError> {
        let Inner { blocked, ending, probe, end, over, sent, tasks } = &*self.inner;
        let visit = probe.enter();
        let sender = sender(outbound, blocked.outbound, sent, over.subscribe());
        let mut kept = None;
        let mut read = None;
        match ending {
            Ending::InputUnread => {
                let taken = if blocked.inbound { 0 } else { FEW };
                for number in 0..taken {
                    assert_eq!(inbound.next().await, Some(Ok(item(number))));
                }
                kept = Some(inbound);
            }
            Ending::AfterInput => {
                let all = reader(inbound, blocked.inbound, end.subscribe()).await.expect("no panic");
                read = Some(ready(all).boxed());
            }
            Ending::Never | Ending::Well | Ending::Error | Ending::Panic => {
                let reader = reader(inbound, blocked.inbound, over.subscribe());
                read = Some(reader.map(|read| read.expect("no panic")).boxed());
            }
        }
        let before = tasks.lock().unwrap().replace(Tasks { reader: read, sender });
        assert!(before.is_none(), "the handler is entered once");
        match ending {
            Ending::Never => pending().await,
            Ending::AfterInput => {}
            Ending::Well | Ending::InputUnread | Ending::Error | Ending::Panic => told(end.subscribe()).await,
        }
        drop(kept);
        visit.finish();
        match ending {
            Ending::Error => Err(RemoteError::new("as planned")),
            Ending::Panic => std::panic::resume_unwind(Box::new("as planned")),
            Ending::Never | Ending::Well | Ending::AfterInput | Ending::InputUnread => Ok(()),
        }
    }

    /// Tells the handler to end.
    pub(crate) fn end(&self) {
        self.inner.end.send_replace(true);
    }

    /// Tells all who wait for it that the end has come: readers read from now on, senders try once more.
    pub(crate) fn set_over(&self) {
        self.inner.over.send_replace(true);
    }

    pub(crate) fn over(&self) -> watch::Receiver<bool> {
        self.inner.over.subscribe()
    }

    pub(crate) fn probe(&self) -> &Probe {
        &self.inner.probe
    }

    /// Items that the handler has sent.
    pub(crate) fn sent(&self) -> usize {
        self.inner.sent.load(Ordering::SeqCst)
    }

    pub(crate) fn tasks(&self) -> Tasks {
        self.inner.tasks.lock().unwrap().take().expect("the handler was entered")
    }
}

/// Reads to the end, at once or when the end has come.
pub(crate) fn reader<E: Send + 'static>(
    mut inbound: Inbound<Bytes, E>,
    blocked: bool,
    over: watch::Receiver<bool>,
) -> JoinHandle<Read<E>> {
    tokio::spawn(async move {
        if blocked {
            told(over).await;
        }
        read_all(&mut inbound).await
    })
}

/// Sends items until the end: as many as go if nobody reads them, else a few, and one more after the end. Ends when it
/// was told that the stream has ended.
pub(crate) fn sender(
    outbound: Outbound<Bytes>,
    blocked: bool,
    sent: &Arc<AtomicUsize>,
    over: watch::Receiver<bool>,
) -> JoinHandle<()> {
    let sent = Arc::clone(sent);
    tokio::spawn(async move { send_all(&outbound, blocked, &sent, over).await })
}

/// What [`sender`] does.
pub(crate) async fn send_all(
    outbound: &Outbound<Bytes>,
    blocked: bool,
    sent: &AtomicUsize,
    over: watch::Receiver<bool>,
) {
    loop {
        let number = sent.load(Ordering::SeqCst);
        if !blocked && number == FEW {
            told(over.clone()).await;
        }
        match outbound.send(item(number)).await {
            Ok(()) => sent.store(number + 1, Ordering::SeqCst),
            Err(error) => {
                assert_eq!(error, SendError::Ended);
                break;
            }
        }
        assert!(!*over.borrow(), "nothing is sent after the end");
    }
    for _ in 0..3 {
        assert_eq!(outbound.send(item(0)).await, Err(SendError::Ended), "it stays ended");
    }
}

/// Waits for a signal.
pub(crate) async fn told(mut signal: watch::Receiver<bool>) {
    signal.wait_for(|told| *told).await.expect("the stage outlives what waits on it");
}

//! One stream from its opening to one of its ends.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use grid::{CallError, Manager, RefusalReason, RemoteError};
use grid_tests::memory::{Network, settle, within};
use grid_tests::mesh::only;
use grid_tests::probe::Visits;
use grid_tests::streams::{Read, assert_idle};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::stage::{ACT, Blocked, Ending, FEW, Stage, Tasks, reader, send_all, told};

/// What ends the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    HandlerReturns,
    CallerFinishes,
    HandlerFails,
    HandlerPanics,
    InputUnread,
    InboundDropped,
    OutboundDropped,
    Deadline,
    Silence,
    Cut,
    CallerShutDown,
    HandlerShutDown,
}

impl End {
    fn ending(self) -> Ending {
        match self {
            Self::HandlerReturns => Ending::Well,
            Self::CallerFinishes => Ending::AfterInput,
            Self::HandlerFails => Ending::Error,
            Self::HandlerPanics => Ending::Panic,
            Self::InputUnread => Ending::InputUnread,
            Self::InboundDropped | Self::OutboundDropped | Self::Deadline | Self::Silence | Self::Cut => Ending::Never,
            Self::CallerShutDown | Self::HandlerShutDown => Ending::Never,
        }
    }

    /// When the handler is gone.
    fn takes(self) -> Duration {
        Duration::from_secs(match self {
            Self::Deadline => 5,
            Self::Silence => 20,
            Self::CallerShutDown | Self::HandlerShutDown => 10,
            Self::HandlerReturns | Self::CallerFinishes | Self::HandlerFails | Self::HandlerPanics => 0,
            Self::InputUnread | Self::InboundDropped | Self::OutboundDropped | Self::Cut => 0,
        })
    }

    /// What the caller's reader is told after the items.
    fn at_caller(self, handler_node: &str) -> Told<RemoteError> {
        match self {
            Self::HandlerReturns | Self::CallerFinishes | Self::InputUnread => Told::Well,
            Self::HandlerFails => Told::Error(CallError::Remote(RemoteError::new("as planned"))),
            Self::HandlerPanics => Told::Panicked,
            Self::InboundDropped => Told::Gone,
            Self::OutboundDropped | Self::CallerShutDown => Told::Error(CallError::Cancelled),
            Self::Deadline => Told::Error(CallError::DeadlineExceeded),
            Self::Silence | Self::Cut | Self::HandlerShutDown => {
                Told::Error(CallError::Disconnected(handler_node.into()))
            }
        }
    }

    /// What a reader to which the handler gave its input is told after the items.
    fn at_handler(self, caller_node: &str) -> Option<CallError<Infallible>> {
        match self {
            Self::CallerFinishes => None,
            Self::HandlerReturns | Self::HandlerFails | Self::HandlerPanics | Self::InputUnread => {
                Some(CallError::Cancelled)
            }
            Self::InboundDropped | Self::OutboundDropped | Self::HandlerShutDown => Some(CallError::Cancelled),
            Self::Deadline => Some(CallError::DeadlineExceeded),
            Self::Silence | Self::Cut | Self::CallerShutDown => Some(CallError::Disconnected(caller_node.into())),
        }
    }

    fn visits(self) -> Visits {
        let (finished, dropped) = if self.ending() == Ending::Never { (0, 1) } else { (1, 0) };
        Visits { started: 1, finished, dropped }
    }
}

/// How a reader of the caller sees an end.
#[derive(Debug)]
pub(crate) enum Told<E> {
    Well,
    Error(CallError<E>),
    /// With the text of the panic.
    Panicked,
    /// It was dropped.
    Gone,
}

/// What became of a stream, for the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Items that the caller read.
    pub(crate) items: Option<usize>,
    /// What it was told after them.
    pub(crate) told: String,
    /// Whether the handler finished or was dropped.
    pub(crate) handler: &'static str,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.items {
            Some(items) => write!(f, "{items}, {}; {}", self.told, self.handler),
            None => write!(f, "{}; {}", self.told, self.handler),
        }
    }
}

/// A stream in the state in which its end meets it.
struct Scene {
    network: Network,
    left: Manager,
    right: Manager,
    stage: Stage,
    blocked: Blocked,
    window: usize,
    opened: Instant,
    sent: Arc<AtomicUsize>,
    /// Tells the sender to finish.
    finish: watch::Sender<bool>,
    sender: JoinHandle<()>,
    reader: JoinHandle<Read<RemoteError>>,
}

impl Scene {
    async fn new(end: End, blocked: Blocked, window: u32) -> Self {
        let (network, stage) = (Network::default(), Stage::new(blocked, end.ending()));
        let (left, right) = network.pair(|left| left, |right| stage.serve(right, window)).await;
        let mut call = only(&left).stream(ACT, window, "");
        if end == End::Deadline {
            call = call.timeout(end.takes());
        }
        let opened = Instant::now();
        let (outbound, inbound) = within(call.into_future()).await.expect("it opens");
        let (sent, finish) = (Arc::new(AtomicUsize::new(0)), watch::Sender::new(false));
        let sender = {
            let (sent, over, finish) = (Arc::clone(&sent), stage.over(), finish.subscribe());
            tokio::spawn(async move {
                tokio::select! {
                    () = send_all(&outbound, blocked.inbound, &sent, over) => {}
                    () = told(finish) => {
                        assert_eq!(outbound.finish().await, Ok(()));
                    }
                }
            })
        };
        let reader = reader(inbound, blocked.outbound, stage.over());
        settle().await;
        let window = usize::try_from(window).expect("it fits");
        Self { network, left, right, stage, blocked, window, opened, sent, finish, sender, reader }
    }

    /// The senders have come as far as they are to.
    fn assert_blocked(&self) {
        let expected = |blocked| if blocked { self.window } else { FEW };
        let sent = (self.sent.load(Ordering::SeqCst), self.stage.sent());
        assert_eq!(sent, (expected(self.blocked.inbound), expected(self.blocked.outbound)));
    }

    /// Brings the end about, and waits until the handler is gone.
    async fn end(&self, end: End) {
        match end {
            End::HandlerReturns | End::HandlerFails | End::HandlerPanics | End::InputUnread => self.stage.end(),
            End::CallerFinishes => {
                self.finish.send_replace(true);
                settle().await;
                self.stage.end();
            }
            End::InboundDropped => self.reader.abort(),
            End::OutboundDropped => self.sender.abort(),
            End::Deadline => {}
            End::Silence => self.network.silence(),
            End::Cut => self.network.cut(),
            End::CallerShutDown => shut_down(&self.left),
            End::HandlerShutDown => shut_down(&self.right),
        }
        self.stage.probe().until(|visits| *visits == end.visits()).await;
        let took = self.opened.elapsed();
        let expected = end.takes()..=end.takes() + Duration::from_millis(3);
        assert!(expected.contains(&took), "the handler was gone after {took:?}");
        settle().await;
    }
}

/// Runs a stream to its end, and finds fault with all that should not be.
pub(crate) async fn run(end: End, blocked: Blocked, window: u32) -> Outcome {
    let scene = Scene::new(end, blocked, window).await;
    scene.assert_blocked();
    scene.end(end).await;
    scene.stage.set_over();
    let Scene { network: _network, left, right, stage, sent, sender, reader, .. } = scene;

    let (items, told) = match (end.at_caller(right.name()), within(reader).await) {
        (Told::Gone, read) => {
            assert!(read.is_err_and(|error| error.is_cancelled()), "it was to be dropped while it waited");
            (None, "nobody reads".to_owned())
        }
        (expected, read) => {
            let read = read.expect("no panic");
            let told = assert_told(&read, expected);
            assert_eq!(read.items, grid_tests::streams::items(0..stage.sent()), "all items that were sent, in order");
            (Some(read.items.len()), told)
        }
    };
    let sender = within(sender).await;
    assert_eq!(sender.is_err_and(|error| error.is_cancelled()), end == End::OutboundDropped);
    let Tasks { reader, sender } = stage.tasks();
    within(sender).await.expect("no panic");
    if let Some(reader) = reader {
        let expected = Read::of(sent.load(Ordering::SeqCst), end.at_handler(left.name()));
        assert_eq!(within(reader).await, expected, "at the handler");
    }
    settle().await;
    assert_idle([&left, &right]).await;
    assert_eq!(stage.probe().visits(), end.visits());
    let handler = if end.visits().finished == 1 { "finished" } else { "dropped" };
    Outcome { items, told, handler }
}

/// Gives a word for the table.
pub(crate) fn assert_told(read: &Read<RemoteError>, expected: Told<RemoteError>) -> String {
    match (&read.error, expected) {
        (None, Told::Well) => "well".to_owned(),
        (Some(CallError::Refused(refusal)), Told::Panicked) => {
            assert_eq!((refusal.reason(), refusal.message()), (RefusalReason::Panicked, "handler panic: as planned"));
            "refused: panic".to_owned()
        }
        (Some(error), Told::Error(expected)) => {
            assert_eq!(*error, expected);
            match error {
                CallError::Remote(_) => "error",
                CallError::Disconnected(_) => "disconnected",
                CallError::DeadlineExceeded => "deadline",
                CallError::Cancelled => "cancelled",
                other => panic!("no word for {other:?}"),
            }
            .to_owned()
        }
        (told, expected) => panic!("the caller was told {told:?}, not {expected:?}"),
    }
}

fn shut_down(node: &Manager) {
    let node = node.clone();
    tokio::spawn(async move { node.shutdown().await });
}

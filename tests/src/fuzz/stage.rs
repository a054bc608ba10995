//! The node under test, its peer's name, and what must be true of it in the end.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use grid::{BoxIo, Connection, Connector, Manager};
use tokio::io::{DuplexStream, duplex};
use tokio::runtime::Builder;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

use super::guard::Guard;
use super::handlers::{STREAM_ECHO, serve};
use super::wire::Wire;
use crate::probe::{ECHO, Probe};
use crate::raw::{Frame, Head, Hello, ROUTE, Role, Side, connect_response, dials, op};

/// A node that serves each kind of call, and holds little. Its peer is played by the fuzzer.
pub(super) struct Stage {
    pub(super) node: Manager,
    peer: String,
    side: Side,
    /// What the peer announces.
    pub(super) caps: Option<u64>,
    probe: Probe,
    /// Streams that the node opened to its peer.
    dialled: UnboundedReceiver<DuplexStream>,
    /// Calls that the node makes.
    pub(super) calls: JoinSet<()>,
    guard: Option<Guard>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Runs,
    ShutDown,
}

/// What there is to choose about a [`Stage`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Scene {
    pub(super) side: Side,
    pub(super) caps: Option<u64>,
    /// `https`, between whose names there are no checksums.
    pub(super) scheme: &'static str,
    pub(super) extras: Extras,
}

/// What not every stage has, a bit each.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extras(pub(super) u8);

impl Extras {
    /// Handlers that are known to be quick.
    pub(super) fn is_warm(self) -> bool {
        self.0 & 1 != 0
    }

    /// A middleware.
    fn is_guarded(self) -> bool {
        self.0 & 2 != 0
    }

    /// Limits that are met sooner than those of other stages.
    fn is_narrow(self) -> bool {
        self.0 & 4 != 0
    }

    /// A node that is shut down in the end.
    pub(super) fn leaves(self) -> bool {
        self.0 & 8 != 0
    }
}

impl Scene {
    /// Plays a script on a stage of its own, in virtual time and with the same random numbers each time, and holds the
    /// node to what must be true in the end.
    pub(super) fn play<F: Future<Output = Stage>>(self, script: impl FnOnce(Stage) -> F) {
        fastrand::seed(7);
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
        runtime.block_on(async {
            let stage = script(Stage::new(self)).await;
            stage.finish().await;
            tokio::time::sleep(MOMENT).await;
        });
        assert_eq!(runtime.metrics().num_alive_tasks(), 0, "a task outlives its node");
    }
}

impl Stage {
    fn new(Scene { side, caps, scheme, extras }: Scene) -> Self {
        let name = format!("{scheme}://node:1");
        let mut names = (0..).map(|number| format!("{scheme}://peer-{number}:1"));
        let peer = names.find(|peer| dials(&name, peer) == (side == Side::Dials)).expect("names do not end");
        let (streams, dialled) = unbounded_channel();
        let probe = Probe::default();
        let builder = Manager::builder(name).peers([&*peer]).route(ROUTE).connector(Streams(streams));
        let builder = builder
            .limits(|limits| {
                limits.message_bytes_max = MESSAGE_BYTES_MAX;
                limits.outbox_bytes_max = OUTBOX_BYTES_MAX;
                limits.control_bytes_max = OUTBOX_BYTES_MAX;
                limits.calls_out_max = CALLS_MAX;
                limits.calls_in_max = CALLS_MAX;
                limits.calls_in_bytes_max = MESSAGE_BYTES_MAX;
                limits.unread_bytes_max = UNREAD_BYTES_MAX;
                limits.guests_max = 2;
                limits.handshakes_max = 2;
                if extras.is_narrow() {
                    limits.metadata_bytes_max = 1;
                    limits.streams_in_max = 2;
                    limits.calls_in_total_max = 4;
                }
            })
            // So that what was captured once is good for ever.
            .timeouts(|timeouts| timeouts.clock_difference_max = Duration::from_secs(1 << 40));
        let guard = extras.is_guarded().then(Guard::default);
        let builder = match &guard {
            Some(guard) => builder.middleware(guard.clone()),
            None => builder,
        };
        let node = serve(builder, &probe).build().expect("it can be built");
        Self { node, peer, side, caps, probe, dialled, calls: JoinSet::new(), guard, state: State::Runs }
    }

    pub(super) fn connection(&self) -> Connection {
        self.node.connection(&self.peer).expect("it is a peer")
    }

    /// A fresh stream, of which the node knows nothing yet or has just dialled it.
    pub(super) async fn stream(&mut self) -> Wire {
        match self.side {
            Side::Accepts => Wire::to(&self.node),
            Side::Dials => loop {
                let io = tokio::time::timeout(PATIENCE, self.dialled.recv()).await.expect("the node dials its peer");
                let mut wire = Wire::new(io.expect("the node has its connector"), Role::Acceptor);
                wire.receive().await;
                // Not one that it has given up since.
                if !wire.is_over {
                    return wire;
                }
            },
        }
    }

    /// The HTTP part of a connection that the node makes; of one that it takes the peer has the first word.
    pub(super) async fn answer_upgrade(&self, wire: &mut Wire) {
        if self.side == Side::Dials {
            let head = wire.take_head().expect("the node asks for a WebSocket");
            let request = Head::parse(std::str::from_utf8(&head).expect("a head is text"));
            wire.send(&Head::switching(&request).encode()).await;
        }
    }

    /// A good link.
    pub(super) async fn link(&mut self) -> Wire {
        let mut wire = self.stream().await;
        match self.side {
            Side::Accepts => {
                wire.send(&Head::upgrade(ROUTE, "node:1", "debug").encode()).await;
                wire.send_message(
                    Hello { caps: self.caps.map(Into::into), ..Hello::new(&self.peer) }.connect().encode(),
                )
                .await;
                wire.receive().await;
                wire.take_head().expect("an upgrade is answered");
                let answers = wire.receive().await;
                assert!(answers.iter().all(|frame| frame.op == op::CONNECT_RESPONSE), "{answers:?}");
            }
            Side::Dials => {
                self.answer_upgrade(&mut wire).await;
                let hello = wire.receive().await;
                assert!(hello.iter().all(|frame| frame.op == op::CONNECT), "{hello:?}");
                wire.send_message(connect_response("", self.caps).encode()).await;
            }
        }
        wire.receive().await;
        assert!(!wire.is_over, "a good peer is let in");
        if self.caps.is_none() {
            wire.be_v1();
        }
        wire
    }

    /// What a node holds for its peer has limits.
    pub(super) fn check(&self) {
        let stats = self.connection().stats();
        assert!(stats.calls_in <= CALLS_MAX && stats.calls_out <= CALLS_MAX, "{stats:?}");
        assert!(stats.unread_bytes <= 2 * UNREAD_BYTES_MAX, "{stats:?}");
        assert!(stats.queued_bytes <= 2 * OUTBOX_BYTES_MAX + MESSAGE_BYTES_MAX, "{stats:?}");
    }

    /// Shuts the node down. Its peer may still be there, and may take what it is told or not.
    pub(super) async fn shut_down(&mut self) {
        tokio::time::timeout(PATIENCE, self.node.shutdown()).await.expect("a shutdown ends");
        self.state = State::ShutDown;
    }

    /// The peer is gone. Calls to it end, and those of it are dropped; another link is as good as the first.
    async fn finish(mut self) {
        let ended = async { while self.calls.join_next().await.is_some_and(|call| call.is_ok()) {} };
        tokio::time::timeout(PATIENCE, ended).await.expect("each call ends");
        tokio::time::sleep(MOMENT).await;
        let visits = self.probe.visits();
        assert_eq!(visits.started, visits.finished + visits.dropped, "a handler outlives its link");
        if let Some(guard) = &self.guard {
            guard.check();
        }
        if self.state == State::ShutDown {
            return;
        }
        let mut wire = self.link().await;
        wire.send_message(Frame::request(1, ECHO.into(), "still there").encode()).await;
        wire.send_message(Frame { handler: STREAM_ECHO.into(), ..Frame::new(op::CONNECT_MUX, 2) }.encode()).await;
        let said = wire.receive().await;
        let of = |mux| said.iter().filter(move |frame| frame.mux == mux).map(|frame| (frame.op, &*frame.payload));
        assert_eq!(of(1).collect::<Vec<_>>(), [(op::RESPONSE, &b"still there"[..])]);
        assert_eq!(of(2).map(|(op, _)| op).collect::<Vec<_>>(), [op::ACK_MUX, op::MUX_SERVER_MSG]);
        let stats = self.connection().stats();
        assert_eq!((stats.calls_in, stats.calls_out, stats.unread_bytes, stats.queued_bytes), (1, 0, 0, 0));
    }
}

/// Brings the streams that a node dials to whoever has the other end of the channel.
struct Streams(UnboundedSender<DuplexStream>);

impl Connector for Streams {
    fn connect<'a>(&'a self, _: &'a str) -> Pin<Box<dyn Future<Output = io::Result<BoxIo>> + Send + 'a>> {
        let (near, far) = duplex(LINK_BYTES);
        let sent = self.0.send(far).map_err(|_| io::ErrorKind::ConnectionRefused.into());
        Box::pin(std::future::ready(sent.map(|()| Box::new(near) as BoxIo)))
    }
}

/// Small, so that each limit is met; but some frames are so large that they are written in place.
const MESSAGE_BYTES_MAX: usize = 40 << 10;
const OUTBOX_BYTES_MAX: usize = 4 << 10;
const UNREAD_BYTES_MAX: usize = 4 << 10;
const CALLS_MAX: usize = 6;
/// What fits into a stream in each direction.
pub(super) const LINK_BYTES: usize = 4 << 10;
/// Virtual time passes only when every task waits.
const MOMENT: Duration = Duration::from_millis(1);
/// Longer than any call and any pause has.
const PATIENCE: Duration = Duration::from_secs(3600);

//! A node that has the name and the place of one of the captured ones.

use std::future::ready;
use std::time::Duration;

use grid::{Connection, Inbound, Manager, ManagerBuilder, Outbound};
use grid_tests::capture::{Capture, Conversation, Direction};
use grid_tests::raw::{
    AddressBook, Frame, Gate, ROUTE, RawPeer, Script, Side, Window, as_captured, idle, listen, op, within,
};

/// Both parts that a node can have in a conversation.
pub(crate) const PARTS: [Direction; 2] = [Direction::FromClient, Direction::FromServer];

/// Serves what the capture has under the subroute `a/b`.
#[grid::service(id = 0)]
trait Subrouted {
    /// The one payload that is both raw and msgpack is that of a small number.
    #[rpc(id = 30)]
    async fn echo(&self, byte: u8) -> u8;
    /// The captured one answers with the prefix and the item, one behind the other: with the first byte of an array of
    /// two before them that is msgpack.
    #[rpc(id = 31, window = 1)]
    async fn prefixed(&self, prefix: u8, items: Inbound<u8>, both: Outbound<(u8, u8)>);
}

struct Echo;

impl Subrouted for Echo {
    async fn echo(&self, byte: u8) -> u8 {
        byte
    }

    async fn prefixed(&self, prefix: u8, mut items: Inbound<u8>, both: Outbound<(u8, u8)>) {
        while let Some(item) = items.next().await {
            both.send((prefix, item.expect("a small number"))).await.expect("the caller waits");
        }
    }
}

/// A node under test that plays one part of a conversation; the other is scripted.
pub(crate) struct Stage {
    pub(crate) node: Manager,
    pub(crate) script: Script,
    pub(crate) gate: Gate,
}

impl Stage {
    pub(crate) async fn new(capture: &Capture, conversation: &Conversation, part: Direction) -> Self {
        Self::with(capture, conversation, part, |builder| builder).await
    }

    pub(crate) async fn with(
        capture: &Capture,
        conversation: &Conversation,
        part: Direction,
        change: impl FnOnce(ManagerBuilder) -> ManagerBuilder,
    ) -> Self {
        let side = conversation.side(part);
        let (name, peer) = match side {
            Side::Dials => (&capture.dialer, &capture.acceptor),
            Side::Accepts => (&capture.acceptor, &capture.dialer),
        };
        let listener = listen(Window::Usual);
        let script = Script {
            name: peer.clone(),
            node: name.clone(),
            side,
            caps: None,
            node_address: listener.local_addr().expect("it is bound"),
            listener: listen(Window::Usual),
            window: Window::Usual,
        };
        let mut book = AddressBook::default();
        book.add(peer, script.listener.local_addr().expect("it is bound"));
        let gate = Gate::default();
        let builder = Manager::builder(&**name)
            .peers([&**peer])
            .route(ROUTE)
            .token_source(|_| ready("debug".to_owned()))
            .connector(book)
            .listener(listener.into_std().expect("a listener of tokio is one of the system"))
            .timeouts(|timeouts| {
                timeouts.reconnect_min = Duration::from_millis(1);
                timeouts.reconnect_max = Duration::from_millis(3);
                timeouts.ping_interval = Duration::from_secs(3600);
                timeouts.dead_after = Duration::from_secs(7200);
            })
            .serve_at("a/b", SubroutedServer::new(Echo));
        let node = change(as_captured(builder, &gate)).start().await.expect("the node starts");
        Self { node, script, gate }
    }

    pub(crate) async fn link(&self) -> RawPeer {
        let peer = self.script.link().await;
        within("the node to see the link", self.connection().ready()).await.expect("the node is not shut down");
        peer
    }

    pub(crate) fn connection(&self) -> Connection {
        self.node.connection(&self.script.name).expect("it is a peer")
    }

    /// Waits until nothing is left of any call.
    pub(crate) async fn idle(&self) {
        idle(&self.connection()).await;
    }
}

/// Says which conversation begins.
pub(crate) fn start(capture: &Capture, conversation: &Conversation, part: Direction) -> String {
    let side = conversation.side(part);
    let scheme = capture.dialer.split(':').next().unwrap_or_default();
    let label = format!("{} between {scheme} nodes, node {part:?} and {side:?}", conversation.name);
    eprintln!("{label}");
    label
}

/// Whether a frame is the same, but for what differs from one run to the next.
#[track_caller]
pub(crate) fn assert_next(sent: Frame, captured: Frame, ids: Ids) {
    let [sent, captured] = [sent, captured].map(|frame| normal(vec![frame], ids));
    assert_eq!(sent, captured, "the node sent the left, the capture has the right");
}

/// Whether two frames are the same, but for what differs from one run to the next.
#[track_caller]
pub(crate) fn assert_same(sent: Vec<Frame>, captured: Vec<Frame>, ids: Ids) {
    let [mut sent, mut captured] = [sent, captured].map(|frames| normal(frames, ids));
    for frames in [&mut sent, &mut captured] {
        // Answers come in any order.
        frames.sort_by_key(|frame| (frame.payload.clone(), frame.mux));
    }
    assert_eq!(sent, captured, "the node sent the left, the capture has the right");
}

/// Whether the node chose the mux ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ids {
    OfTheNode,
    OfTheCapture,
}

fn normal(frames: Vec<Frame>, ids: Ids) -> Vec<Frame> {
    let normal = |frame: Frame| {
        let payload = without_constants(&frame);
        match ids {
            Ids::OfTheCapture => Frame { payload, ..frame },
            // A Go node has lost some microseconds when it counts what is left.
            Ids::OfTheNode => Frame { mux: 0, deadline_ms: frame.deadline_ms.next_multiple_of(10), payload, ..frame },
        }
    };
    frames.into_iter().map(normal).collect()
}

/// Texts may name a handler by a constant of the Go program.
fn without_constants(frame: &Frame) -> Vec<u8> {
    const BEFORE: &str = "Invalid Handler for type: ";
    if frame.op != op::MUX_CONNECT_ERROR {
        return frame.payload.clone();
    }
    let text = frame.error_text();
    match text.strip_prefix(BEFORE) {
        Some(subroute) if subroute.starts_with('[') => text.into_bytes(),
        Some(_) => BEFORE.into(),
        None => text.into_bytes(),
    }
}

/// The numbers of conversations, told to who runs the test with `--nocapture`.
pub(crate) fn tell(replayed: &[String], wanted: usize) {
    println!("{} replayed:\n{}", replayed.len(), replayed.join("\n"));
    assert_eq!(replayed.len(), wanted);
}

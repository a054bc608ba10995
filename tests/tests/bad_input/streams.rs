//! What the tests of streams that break the rules have in common.

use bytes::Bytes;
use grid::{Inbound, ManagerBuilder, Outbound, RemoteError};
use grid_tests::raw::{Frame, RawPeer, Rig, Side, encode_value, flag, op, within};
use rmpv::Value;

/// A node and a peer, with a stream in each direction that nobody is to disturb.
pub(crate) struct Scene {
    pub(crate) rig: Rig,
    pub(crate) peer: RawPeer,
    pub(crate) kind: Kind,
    /// The numbers that the peer and the node have used for the stream that the node serves.
    served: (u32, u32),
    /// The same for the stream that the node has called.
    made: (u32, u32),
    made_mux: u64,
    halves: (Outbound<Bytes>, Inbound<Bytes, RemoteError>),
}

/// What the peer can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    V1,
    /// All that grid adds, credits in trailers among it.
    Grid,
}

/// On either side, with either peer.
pub(crate) const SCENES: [(Side, Kind); 4] =
    [(Side::Accepts, Kind::V1), (Side::Dials, Kind::V1), (Side::Accepts, Kind::Grid), (Side::Dials, Kind::Grid)];

impl Scene {
    pub(crate) async fn new((side, kind): (Side, Kind)) -> Self {
        Self::with((side, kind), |builder| builder).await
    }

    pub(crate) async fn with(
        (side, kind): (Side, Kind),
        change: impl FnOnce(ManagerBuilder) -> ManagerBuilder,
    ) -> Self {
        let caps = (kind == Kind::Grid).then_some(31);
        let rig = Rig::with(side, caps, change).await;
        let mut peer = rig.link().await;
        peer.send(&Frame { handler: ECHO_STREAM, ..Frame::new(op::CONNECT_MUX, BESIDE) }.payload("beside ")).await;
        assert_eq!(peer.recv().await, kind.credits(Frame::new(op::ACK_MUX, BESIDE)));

        let opening = tokio::spawn(rig.connection().stream(1_u8, 1, "beside").into_future());
        let connect = peer.recv().await;
        let wanted = Frame { handler: 1, ..Frame::new(op::CONNECT_MUX, connect.mux) }.payload("beside");
        assert_eq!(connect, kind.credits(wanted));
        peer.send(&Frame::new(op::ACK_MUX, connect.mux)).await;
        let halves = within("the stream to open", opening).await.expect("it does not panic").expect("it opens");
        let mut scene = Self { rig, peer, kind, served: (0, 0), made: (0, 0), made_mux: connect.mux, halves };
        scene.exchange().await;
        scene
    }

    /// Items go there and back on both streams, and nothing else comes.
    pub(crate) async fn exchange(&mut self) {
        let Self { peer, kind, served, made, made_mux, halves, .. } = self;
        served.0 += 1;
        peer.send(&numbered(op::MUX_CLIENT_MSG, BESIDE, served.0).payload("x")).await;
        served.1 += 1;
        assert_eq!(peer.recv().await, kind.credits(numbered(op::UNBLOCK_CL_MUX, BESIDE, served.1)));
        served.1 += 1;
        assert_eq!(peer.recv().await, numbered(op::MUX_SERVER_MSG, BESIDE, served.1).payload("beside x"));
        served.0 += 1;
        peer.send(&numbered(op::UNBLOCK_SRV_MUX, BESIDE, served.0)).await;

        within("a credit", halves.0.send("y".into())).await.expect("the stream goes on");
        made.0 += 1;
        assert_eq!(peer.recv().await, numbered(op::MUX_CLIENT_MSG, *made_mux, made.0).payload("y"));
        made.1 += 1;
        peer.send(&numbered(op::UNBLOCK_CL_MUX, *made_mux, made.1)).await;
        made.1 += 1;
        peer.send(&numbered(op::MUX_SERVER_MSG, *made_mux, made.1).payload("z")).await;
        let item = within("an item", halves.1.next()).await;
        assert_eq!(item, Some(Ok("z".into())));
        made.0 += 1;
        assert_eq!(peer.recv().await, kind.credits(numbered(op::UNBLOCK_SRV_MUX, *made_mux, made.0)));
        peer.fence().await;
    }

    /// Both streams end well, and nothing is left of any call.
    pub(crate) async fn finish(mut self) {
        self.exchange().await;
        let Self { rig, mut peer, kind, served, made, made_mux, halves: (outbound, mut inbound) } = self;
        peer.send(&numbered(op::MUX_CLIENT_MSG, BESIDE, served.0 + 1).flags(flag::EOF)).await;
        assert_eq!(peer.recv().await, numbered(op::MUX_SERVER_MSG, BESIDE, served.1 + 1).flags(flag::EOF));
        if kind == Kind::V1 {
            assert_eq!(peer.recv().await, Frame::new(op::DISCONNECT_CLIENT_MUX, BESIDE));
        }

        within("the end", outbound.finish()).await.expect("the stream goes on");
        assert_eq!(peer.recv().await, numbered(op::MUX_CLIENT_MSG, made_mux, made.0 + 1).flags(flag::EOF));
        peer.send(&numbered(op::MUX_SERVER_MSG, made_mux, made.1 + 1).flags(flag::EOF)).await;
        assert_eq!(within("the end", inbound.next()).await, None);
        peer.fence().await;
        rig.idle().await;
        rig.finish().await;
    }
}

impl Kind {
    /// With the one credit that goes along where credits are counted.
    pub(crate) fn credits(self, frame: Frame) -> Frame {
        match self {
            Self::V1 => frame,
            Self::Grid => frame.trailer(&credits(1)),
        }
    }

    /// The end of a stream that broke the rules: to a grid peer with a reason, which is none in particular.
    pub(crate) fn breach(self, mux: u64, seq: u32, text: &str) -> Frame {
        let error = numbered(op::MUX_SERVER_MSG, mux, seq).flags(flag::EOF | flag::ERROR).payload(text);
        match self {
            Self::V1 => error,
            Self::Grid => error.trailer(&Value::Map(vec![(3.into(), 0.into())])),
        }
    }
}

/// A trailer with so many credits.
pub(crate) fn credits(credits: u32) -> Value {
    Value::Map(vec![(4.into(), credits.into())])
}

pub(crate) fn numbered(op: u8, mux: u64, seq: u32) -> Frame {
    Frame { seq, ..Frame::new(op, mux) }
}

/// The body of a pong.
pub(crate) fn pong(nf: bool, error: Option<&str>) -> Vec<u8> {
    let error = error.map_or(Value::Nil, Into::into);
    let fields = [("nf", nf.into()), ("e", error), ("t", grid_tests::raw::zero_time())];
    encode_value(&Value::Map(fields.into_iter().map(|(key, value)| (key.into(), value)).collect()))
}

/// Echoes with a prefix, both windows 1.
pub(crate) const ECHO_STREAM: u32 = 20;
/// Sends as many items as it is told, window 1; takes none.
pub(crate) const COUNT: u32 = 21;
/// Says that it has started, and never ends; both windows 1. It reads nothing.
pub(crate) const ENDLESS: u32 = 24;
/// The peer's stream that is not to be disturbed.
const BESIDE: u64 = 900;

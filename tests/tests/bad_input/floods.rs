//! Peers that provoke replies and do not read them.

use std::time::Duration;

use grid_tests::raw::{ECHO, Frame, LengthForm, Rig, SIDES, Setup, Side, Window, flag, op, opcode};

const CONTROL: usize = 4 << 10;
/// Far more than all buffers between the node and the peer hold.
const ENOUGH: usize = 64 << 20;

/// A node that is patient and has little room, and a peer whose system takes little.
async fn rig(side: Side) -> Rig {
    let setup = Setup { window: Window::Narrow, ..Setup::new(side) };
    let little = |builder: grid::ManagerBuilder| {
        let builder = builder.limits(|limits| {
            limits.control_bytes_max = CONTROL;
            limits.calls_in_max = 16;
            limits.outbox_bytes_max = CONTROL;
        });
        builder.timeouts(|timeouts| timeouts.write = Duration::from_secs(600))
    };
    setup.start(little).await
}

/// Each of these provokes a reply.
fn provoking() -> Vec<(&'static str, Frame)> {
    vec![
        ("pings", Frame::new(op::PING, 0)),
        ("pings of calls", Frame::new(op::PING, 7)),
        ("streams", Frame { handler: 50, ..Frame::new(op::CONNECT_MUX, 7) }),
        ("stateless streams", Frame::new(op::CONNECT_MUX, 7).flags(flag::STATELESS)),
        ("input of streams", Frame::new(op::MUX_CLIENT_MSG, 7)),
        ("requests for unknown handlers", Frame::request(7, 60, "")),
        // These wait for room, until there are as many as may be; then they are refused.
        ("requests that are answered", Frame::request(7, ECHO, [0; 1000])),
    ]
}

#[tokio::test]
async fn a_peer_that_provokes_replies_and_does_not_read_them_loses_its_link() {
    for side in SIDES {
        let rig = rig(side).await;
        for (name, frame) in provoking() {
            eprintln!("{name}");
            let mut peer = rig.link().await;
            let message = peer.ws(opcode::BINARY, frame.encode()).encode(LengthForm::Shortest);
            let batch = message.repeat(1000);
            let mut sent = 0;
            while peer.try_send_bytes(&batch).await.is_ok() {
                sent += batch.len();
                assert!(sent < ENOUGH, "the node takes everything");
            }
            assert!(rig.violated().await.contains("beyond control_bytes_max"));
        }
        rig.finish().await;
    }
}

#[tokio::test]
async fn a_peer_that_provokes_websocket_pongs_and_does_not_read_them_loses_its_link() {
    for side in SIDES {
        let rig = rig(side).await;
        let mut peer = rig.link().await;
        let batch = peer.ws(opcode::PING, [7; 125]).encode(LengthForm::Shortest).repeat(1000);
        let mut sent = 0;
        while peer.try_send_bytes(&batch).await.is_ok() {
            sent += batch.len();
            assert!(sent < ENOUGH, "the node takes everything");
        }
        assert_eq!(rig.violated().await, "it provokes more pongs than it reads");
        rig.finish().await;
    }
}

#[tokio::test]
async fn a_peer_that_reads_may_provoke_as_many_replies_as_it_likes() {
    for side in SIDES {
        let rig = rig(side).await;
        let mut peer = rig.link().await;
        for (name, frame) in provoking() {
            eprintln!("{name}");
            let mut bytes = 0;
            while bytes < 10 * CONTROL {
                for _ in 0..10 {
                    peer.send(&frame).await;
                }
                for _ in 0..10 {
                    bytes += peer.recv().await.encode().len();
                }
            }
        }
        peer.fence().await;
        rig.finish().await;
    }
}

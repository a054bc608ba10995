//! What a connection says that it has carried.

use grid_tests::raw::{Bytes, ECHO, Frame, RawPeer, Rig, SIDES, merge, opcode};

/// What the node says against what went over the socket. On the one thread of a test, it has counted what it has written.
fn assert_counted(rig: &Rig, links: &[Bytes]) {
    let stats = rig.connection().stats();
    let [read, written] =
        [|bytes: &Bytes| bytes.read, |bytes: &Bytes| bytes.written].map(|of| links.iter().map(of).sum());
    assert_eq!(Bytes { read: stats.bytes_out, written: stats.bytes_in }, Bytes { read, written });
}

async fn traffic(rig: &Rig, peer: &mut RawPeer) {
    for size in [0, 100, 5000, 200_000] {
        peer.send(&Frame::request(1, ECHO, vec![7; size])).await;
        assert_eq!(peer.recv().await.payload.len(), size);
    }
    let call = rig.call(1, "hello");
    let mux = peer.recv().await.mux;
    peer.send(&Frame::response(mux, "x".repeat(70_000))).await;
    call.await.unwrap().unwrap();
    peer.send_ws(&peer.ws(opcode::TEXT, "skipped")).await;
    peer.send_ws(&peer.ws(opcode::PING, "answered")).await;
    assert_eq!(peer.recv_ws().await.opcode, opcode::PONG);
    let requests: Vec<_> = (0..100).map(|mux| Frame::request(mux, ECHO, "x").encode()).collect();
    peer.send_message(merge(100, &requests)).await;
    for _ in 0..100 {
        peer.recv().await;
    }
    peer.fence().await;
}

#[tokio::test]
async fn byte_counters_equal_the_bytes_on_the_socket() {
    for side in SIDES {
        let rig = Rig::new(side).await;
        let mut first = rig.link().await;
        first.fence().await;
        assert_counted(&rig, &[first.bytes()]);
        traffic(&rig, &mut first).await;
        assert_counted(&rig, &[first.bytes()]);

        let before = first.bytes();
        drop(first);
        rig.ended().await;
        assert_counted(&rig, &[before]);
        let mut second = rig.link().await;
        traffic(&rig, &mut second).await;
        assert_counted(&rig, &[before, second.bytes()]);
        rig.finish().await;
    }
}

#[tokio::test]
async fn message_counters_count_messages_and_not_frames() {
    for side in SIDES {
        let rig = Rig::new(side).await;
        let mut peer = rig.link().await;
        peer.fence().await;
        let before = rig.connection().stats();
        let requests: Vec<_> = (0..10).map(|mux| Frame::request(mux, ECHO, "x").encode()).collect();
        peer.send_message(merge(10, &requests)).await;
        let mut messages = 0;
        let mut frames = 0;
        while frames < 10 {
            let message = peer.recv_ws().await;
            frames += grid_tests::raw::frames_of(&message.payload).unwrap().len();
            messages += 1;
        }
        let after = rig.connection().stats();
        assert_eq!(after.messages_in - before.messages_in, 1);
        assert_eq!(after.messages_out - before.messages_out, messages);
        assert_eq!((after.calls_in, after.calls_out, after.reconnects), (0, 0, 0));
        rig.finish().await;
    }
}

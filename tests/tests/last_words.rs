//! What a node sends before it goes is read.

use grid_tests::raw::{Frame, GATE, LengthForm, Rig, Setup, Side, Window, op, opcode};

#[tokio::test]
async fn nothing_is_sent_behind_the_answer_to_a_close() {
    let rig = Rig::new(Side::Accepts).await;
    let mut peer = rig.link().await;
    let ping = peer.ws(opcode::BINARY, Frame::new(op::PING, 0).encode()).encode(LengthForm::Shortest);
    let close = peer.ws(opcode::CLOSE, [3, 232]).encode(LengthForm::Shortest);
    peer.send_bytes(&[ping, close].concat()).await;
    let mut codes = Vec::new();
    while let Some(frame) = peer.try_recv_ws().await {
        codes.push(frame.opcode);
    }
    assert!(codes == [opcode::BINARY, opcode::CLOSE] || codes == [opcode::CLOSE], "{codes:?}");
}

/// A system that drops a socket with bytes unread resets the connection, and what was written on it before is lost.
#[tokio::test]
async fn a_node_that_leaves_loses_no_answer_to_a_peer_that_still_sends() {
    let setup = Setup { window: Window::Narrow, ..Setup::new(Side::Accepts) };
    let mut rig = setup.start(|builder| builder).await;
    rig.finish_witness().await;
    let mut peer = rig.link().await;
    peer.send(&Frame::request(1, GATE, "x".repeat(30_000))).await;
    rig.gate.next().await;
    let node = rig.node.clone();
    let shutdown = tokio::spawn(async move { node.shutdown().await });
    tokio::task::yield_now().await;
    let skipped = peer.ws(opcode::TEXT, "").encode(LengthForm::Shortest).repeat(10_000);
    peer.send_bytes(&skipped).await;
    rig.gate.let_through(1);
    let bytes = peer.bytes().read;
    peer.at_end().await;
    let read = peer.bytes().read - bytes;
    assert!(read > 30_000, "{read} bytes of the answer came");
    drop(peer);
    shutdown.await.unwrap();
}

//! Requests that come to a node.

use grid_tests::raw::{Head, ROUTE, RawPeer, Rig, Side, accept_key};

fn good() -> Head {
    Head::upgrade(ROUTE, "node:1", "debug")
}

/// The status of the answer to this head, after which the node closes.
async fn status(rig: &Rig, head: &Head) -> u16 {
    eprintln!("{head:?}");
    let mut peer = rig.script.stream().await;
    peer.send_bytes(&head.encode()).await;
    let answer = peer.recv_head().await;
    assert_eq!(answer.header("Content-Length"), Some("0"), "{answer:?}");
    peer.closed().await;
    answer.status()
}

#[tokio::test]
async fn another_path_is_not_found() {
    let rig = Rig::new(Side::Accepts).await;
    for path in
        ["/", "/minio/grid", "/minio/grid/v1/", "/minio/grid/v2", "/minio/grid/V1", "/x/minio/grid/v1", "/grid/v1"]
    {
        let head = Head { line: format!("GET {path} HTTP/1.1"), ..good() };
        assert_eq!(status(&rig, &head).await, 404);
        assert_eq!(status(&rig, &head.without("Upgrade")).await, 404);
    }
    rig.link().await.fence().await;
    rig.finish().await;
}

#[tokio::test]
async fn a_request_without_an_upgrade_is_bad() {
    let rig = Rig::new(Side::Accepts).await;
    for missing in ["Upgrade", "Connection", "Sec-WebSocket-Key"] {
        assert_eq!(status(&rig, &good().without(missing)).await, 400, "{missing}");
    }
    let bad = [
        good().with("Upgrade", "h2c"),
        good().with("Connection", "close"),
        Head { line: format!("POST {ROUTE} HTTP/1.1"), ..good() },
        Head { line: format!("GET {ROUTE} HTTP/1.0"), ..good() },
        Head { line: "GET".to_owned(), ..good() },
        Head { line: "\u{1}\u{2}".to_owned(), ..good() },
        good().with("X Bad", "name"),
    ];
    for head in bad {
        assert_eq!(status(&rig, &head).await, 400);
    }
    rig.link().await.fence().await;
    rig.finish().await;
}

#[tokio::test]
async fn another_version_of_websocket_is_told_to_upgrade() {
    let rig = Rig::new(Side::Accepts).await;
    for version in ["12", "8", "0", "x", ""] {
        assert_eq!(status(&rig, &good().with("Sec-WebSocket-Version", version)).await, 426);
    }
    assert_eq!(status(&rig, &good().without("Sec-WebSocket-Version")).await, 426);
    rig.finish().await;
}

#[tokio::test]
async fn a_browser_is_turned_away() {
    let rig = Rig::new(Side::Accepts).await;
    for origin in ["http://example.com", "http://node:1", "null"] {
        assert_eq!(status(&rig, &good().with("Origin", origin)).await, 403);
    }
    rig.link().await.fence().await;
    rig.finish().await;
}

/// The node accepts this head, with no more headers than a v1 peer sends.
async fn switches(rig: &Rig, head: &Head) {
    eprintln!("{head:?}");
    let mut peer = rig.script.stream().await;
    peer.send_bytes(&head.encode()).await;
    assert_switched(rig, &mut peer, head).await;
}

async fn assert_switched(rig: &Rig, peer: &mut RawPeer, head: &Head) {
    let mut answer = peer.recv_head().await;
    assert_eq!(answer.line, "HTTP/1.1 101 Switching Protocols");
    answer.headers.iter_mut().for_each(|(name, _)| name.make_ascii_lowercase());
    answer.headers.sort();
    let accept = accept_key(head.header("Sec-WebSocket-Key").unwrap());
    let wanted = [("connection", "Upgrade"), ("sec-websocket-accept", &accept), ("upgrade", "websocket")];
    assert_eq!(answer.headers, Head::new("", &wanted).headers);
    peer.send(&rig.script.hello().connect()).await;
    assert_eq!(peer.recv().await.text("RejectedReason"), "");
    peer.fence().await;
}

#[tokio::test]
async fn offered_extensions_and_protocols_are_not_answered() {
    let rig = Rig::new(Side::Accepts).await;
    switches(&rig, &good()).await;
    let offers = good()
        .with("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits")
        .with("Sec-WebSocket-Protocol", "chat, superchat");
    switches(&rig, &offers).await;
    rig.finish().await;
}

#[tokio::test]
async fn any_case_order_and_surplus_of_headers_is_taken() {
    let rig = Rig::new(Side::Accepts).await;
    let mut shouting = good();
    shouting.headers.iter_mut().for_each(|(name, _)| name.make_ascii_uppercase());
    switches(&rig, &shouting).await;
    let mut backwards = good();
    backwards.headers.reverse();
    switches(&rig, &backwards).await;
    switches(&rig, &good().with("Connection", "keep-alive, Upgrade")).await;
    switches(&rig, &good().with("Upgrade", "WebSocket")).await;
    switches(&rig, &Head { line: format!("GET {ROUTE}?since=7 HTTP/1.1"), ..good() }).await;
    switches(&rig, &good().without("Authorization").without("X-Minio-Time")).await;
    rig.finish().await;
}

#[tokio::test]
async fn a_head_in_single_bytes_is_taken() {
    let rig = Rig::new(Side::Accepts).await;
    let mut peer = rig.script.stream().await;
    for byte in good().encode() {
        peer.send_bytes(&[byte]).await;
    }
    assert_switched(&rig, &mut peer, &good()).await;
    rig.finish().await;
}

#[tokio::test]
async fn a_peer_that_goes_in_the_midst_of_its_head_is_forgotten() {
    let rig = Rig::new(Side::Accepts).await;
    for cut in [0, 1, 40] {
        let mut peer = rig.script.stream().await;
        peer.send_bytes(&good().encode()[..cut]).await;
        drop(peer);
    }
    rig.link().await.fence().await;
    rig.finish().await;
}

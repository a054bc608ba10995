//! Answers that a node gets when it dials.

use std::future::ready;

use futures_util::StreamExt;
use grid::{LinkError, State};
use grid_tests::raw::{Head, Rig, Side, within};

/// Answers one attempt with these bytes, and gives what the node shows then.
async fn shown(rig: &Rig, answer: impl FnOnce(&Head) -> Vec<u8>) -> LinkError {
    let mut states = rig.connection().changes();
    let before = states.next().await;
    let mut peer = rig.script.stream().await;
    let request = peer.recv_head().await;
    let answer = answer(&request);
    eprintln!("{}", answer.escape_ascii());
    // The node may close in the midst of it.
    let _ = peer.try_send_bytes(&answer).await;
    peer.at_end().await;
    match rig.connection().state() {
        State::Disconnected(Some(why)) => why,
        state if Some(&state) == before.as_ref() => match within("a failed attempt", states.next()).await {
            Some(State::Disconnected(Some(why))) => why,
            state => panic!("{state:?}"),
        },
        state => panic!("{state:?}"),
    }
}

#[tokio::test]
async fn another_status_is_a_rejection_that_is_shown() {
    let rig = Rig::new(Side::Dials).await;
    let statuses =
        ["400 Bad Request", "403 Forbidden", "404 Not Found", "426 Upgrade Required", "503 Service Unavailable"];
    for status in statuses {
        for headers in [&[][..], &[("Content-Length", "0")], &[("Content-Type", "text/plain"), ("Connection", "close")]]
        {
            let answer = Head::new(format!("HTTP/1.1 {status}"), headers);
            let told = format!("{status} at /minio/grid/v1");
            assert_eq!(shown(&rig, |_| answer.encode()).await, LinkError::Rejected(told.into()));
        }
    }
    for status in ["200 OK", "301 Moved Permanently", "100 Continue"] {
        let answer = Head::new(format!("HTTP/1.1 {status}"), &[("Location", "http://elsewhere:1")]);
        let why = shown(&rig, |_| answer.encode()).await;
        assert!(matches!(why, LinkError::Rejected(_)), "{why:?}");
    }
    rig.link().await.fence().await;
    rig.finish().await;
}

#[tokio::test]
async fn an_answer_that_is_none_is_a_failed_attempt() {
    let rig = Rig::new(Side::Dials).await;
    type Answer = fn(&Head) -> Vec<u8>;
    let answers: [Answer; 8] = [
        |_| b"\x00\x01\x02 nonsense\r\n\r\n".to_vec(),
        |_| b"HTTP/1.1 abc\r\n\r\n".to_vec(),
        |_| b"SSH-2.0-OpenSSH_9.9\r\n\r\n".to_vec(),
        |request| Head::switching(request).with("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=").encode(),
        |request| Head::switching(request).without("Sec-WebSocket-Accept").encode(),
        |request| Head::switching(request).without("Upgrade").encode(),
        |request| Head::switching(request).with("Sec-WebSocket-Protocol", "chat").encode(),
        |request| Head::switching(request).with("X-Long", &"x".repeat(200_000)).encode(),
    ];
    for answer in answers {
        let why = shown(&rig, answer).await;
        assert!(matches!(why, LinkError::Unreachable { .. }), "{why:?}");
    }
    rig.link().await.fence().await;
    rig.finish().await;
}

#[tokio::test]
async fn a_token_that_no_header_can_hold_fails_the_attempt() {
    let rig =
        Rig::with(Side::Dials, None, |builder| builder.token_source(|_| ready("a\r\nX-Evil: b".to_owned()))).await;
    let mut states = rig.connection().changes();
    let failed = async {
        loop {
            if let Some(State::Disconnected(Some(why))) = states.next().await {
                return why;
            }
        }
    };
    let why = within("a failed attempt", failed).await;
    assert!(matches!(why, LinkError::Unreachable { .. }), "{why:?}");
    rig.finish().await;
}

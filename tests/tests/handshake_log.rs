//! What the log says of peers that cannot connect. All tests of this program listen: where others do not, `tracing` may
//! take it that nobody does.

use grid::State;
use grid_tests::log::{Entry, Log};
use grid_tests::raw::{Hello, Rig, Side, connect_response, now_secs, time};
use tracing::Level;

fn warnings(log: &Log) -> Vec<Entry> {
    let mut entries = log.all();
    entries.retain(|entry| entry.level <= Level::WARN);
    entries
}

#[tokio::test]
async fn a_rejection_is_logged_once_on_the_dialling_side_and_not_per_retry() {
    let (log, _guard) = Log::listen();
    let rig = Rig::new(Side::Dials).await;
    for seconds in 301..306 {
        let mut peer = rig.script.websocket().await;
        rig.script.recv_connect(&mut peer).await;
        let reason = format!("time difference too large between servers: {seconds}s");
        peer.send(&connect_response(&reason, None)).await;
        peer.closed().await;
    }
    rig.link().await.fence().await;
    let logged = warnings(&log);
    assert_eq!(logged.len(), 1, "{logged:?}");
    assert!(logged[0].field("why").contains("time difference too large"), "{logged:?}");
    rig.finish().await;
}

#[tokio::test]
async fn a_rejection_is_logged_once_on_the_accepting_side_and_not_per_retry() {
    let (log, _guard) = Log::listen();
    let rig = Rig::new(Side::Accepts).await;
    for seconds in 400..405 {
        let mut peer = rig.script.websocket().await;
        let hello = Hello { time: time(now_secs() - seconds), ..rig.script.hello() };
        peer.send(&hello.connect()).await;
        assert!(peer.recv().await.text("RejectedReason").starts_with("time difference"));
        peer.closed().await;
    }
    let logged = warnings(&log);
    assert_eq!(logged.len(), 1, "{logged:?}");
    assert_eq!(rig.connection().state(), State::Disconnected(None));
    rig.finish().await;
}

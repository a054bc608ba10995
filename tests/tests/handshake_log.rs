//! What the log says of peers that cannot connect, and of whoever is not let in. All tests of this program listen:
//! where others do not, `tracing` may take it that nobody does.

use std::time::Duration;

use grid::State;
use grid_tests::log::{Entry, Log};
use grid_tests::memory::{Network, within};
use grid_tests::probe::{ECHO, echo};
use grid_tests::raw::{Hello, RawPeer, Rig, Side, connect_response, now_secs, time};
use rmpv::Value;
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
    // The peer sees the end of its connection before the node does.
    let all = async {
        while rig.node.stats().turned_away < 5 {
            tokio::task::yield_now().await;
        }
    };
    within(all).await;
    let logged = warnings(&log);
    assert_eq!(logged.len(), 1, "{logged:?}");
    assert!(logged[0].field("from").contains("127.0.0.1:"), "{logged:?}");
    assert!(logged[0].field("peer").contains(rig.connection().remote()), "{logged:?}");
    assert_eq!(rig.connection().state(), State::Disconnected(None));
    rig.finish().await;
}

#[tokio::test]
async fn two_processes_that_go_by_one_name_are_told_from_one_that_was_restarted() {
    let (log, _guard) = Log::listen();
    let rig = Rig::new(Side::Accepts).await;
    let mut links = Vec::new();
    for process in [1, 1, 2, 3] {
        links.push(link(&rig, process).await);
    }
    assert_eq!(warnings(&log), [], "it was restarted");
    for process in [2, 3, 2] {
        links.push(link(&rig, process).await);
    }
    let logged = warnings(&log);
    assert_eq!(logged.len(), 1, "{logged:?}");
    assert!(logged[0].name.starts_with("two processes") && logged[0].field("peer").contains(rig.connection().remote()));
    rig.finish().await;
}

/// A link of a process that goes by the name of the peer.
async fn link(rig: &Rig, process: u8) -> RawPeer {
    let mut peer = rig.script.websocket().await;
    let hello = Hello { id: Value::Binary(vec![process; 16]), ..rig.script.hello() };
    peer.send(&hello.connect()).await;
    assert_eq!(peer.recv().await.text("RejectedReason"), "");
    peer.fence().await;
    peer
}

#[tokio::test(start_paused = true)]
async fn what_a_guest_may_not_call_is_told_once_a_minute_with_how_often_it_was_tried() {
    let (log, _guard) = Log::listen();
    let network = Network::default();
    let node = echo(network.builder("http://node:1")).allow_guests([]).build().expect("it starts");
    network.add(&node);
    let guest = grid::connect("http://node:1").connector(network.clone());
    let guest = within(guest.into_future()).await.expect("it is let in");
    for calls in [3, 1] {
        for _ in 0..calls {
            within(guest.single(ECHO, "x").into_future()).await.expect_err("it is not for guests");
        }
        tokio::time::advance(Duration::from_secs(60)).await;
    }
    let told: Vec<_> =
        warnings(&log).iter().map(|entry| (entry.name.clone(), entry.field("untold").to_owned())).collect();
    let name = || "a guest calls what is not for guests".to_owned();
    assert_eq!(told, [(name(), "0".to_owned()), (name(), "2".to_owned())]);
}

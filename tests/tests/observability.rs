//! What a node tells through `tracing`, as the documentation of the crate has it. Under virtual time.

use std::collections::BTreeSet;
use std::future::ready;
use std::time::Duration;

use bytes::Bytes;
use grid::{CallError, Connection, Context, ManagerBuilder, RemoteError};
use grid_tests::log::{Entry, Kind, Log};
use grid_tests::memory::{Network, dials, names, settle, within};
use grid_tests::mesh::{only, quick};
use grid_tests::probe::{ECHO, HANG, Probe, echo};
use tokio::time::{Instant, sleep};
use tracing::Level;

const FAIL: u8 = 20;
const PANIC: u8 = 21;
const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[grid::service(id = 3)]
trait Disk {
    async fn name(&self) -> String;
}

struct Named(&'static str);

impl Disk for Named {
    async fn name(&self) -> String {
        self.0.to_owned()
    }
}

fn serve(builder: ManagerBuilder) -> ManagerBuilder {
    Probe::default()
        .hang(echo(builder))
        .single(FAIL, |_, _| async { Err::<Bytes, _>(RemoteError::new("SECRET error")) })
        .single(PANIC, panic)
        .serve_at("disk1", DiskServer::new(Named("one")))
}

/// Without a word to standard error, which a panic of the usual kind would print.
async fn panic(_: Context, _: Bytes) -> Result<Bytes, RemoteError> {
    std::panic::resume_unwind(Box::new("out of paper"))
}

/// The one entry with this name.
fn one(log: &Log, target: &str, name: &str) -> Entry {
    let entries = log.of(target, name);
    assert_eq!(entries.len(), 1, "{target} {name}: {entries:?}");
    entries.into_iter().next().expect("there is one")
}

fn fields(entry: &Entry) -> BTreeSet<&str> {
    entry.fields.keys().map(String::as_str).collect()
}

#[tokio::test(start_paused = true)]
async fn a_call_has_a_span_on_either_side_and_its_mux_ties_them_together() {
    let (log, _listening) = Log::listen();
    let (left, right) = Network::default().pair(|left| left, serve).await;
    let disk = DiskClient::new(only(&left).subroute("disk1"));
    assert_eq!(disk.name().metadata("traceparent", TRACE).await.as_deref(), Ok("one"));

    let call = one(&log, "grid::call", "call");
    assert_eq!((call.kind, call.level), (Kind::Span, Level::DEBUG));
    assert_eq!(fields(&call), ["handler", "service", "method", "peer", "mux", "subroute"].into());
    assert_eq!(
        ["handler", "service", "method", "subroute"].map(|name| call.field(name)),
        ["3.1", "Disk", "name", "disk1"]
    );
    assert_eq!(call.field("peer"), right.name());

    let serve = one(&log, "grid::call", "serve");
    assert_eq!((serve.kind, serve.level), (Kind::Span, Level::DEBUG));
    assert_eq!(fields(&serve), ["handler", "peer", "mux", "subroute", "traceparent"].into());
    assert_eq!(["handler", "subroute", "traceparent"].map(|name| serve.field(name)), ["Disk.name", "disk1", TRACE]);
    assert_eq!(serve.field("peer"), left.name());
    assert_eq!(serve.field("mux"), call.field("mux"));
}

#[tokio::test(start_paused = true)]
async fn a_call_by_id_has_a_span_without_the_fields_that_it_lacks() {
    let (log, _listening) = Log::listen();
    let (left, _right) = Network::default().pair(|left| left, serve).await;
    assert_eq!(only(&left).single(ECHO, "x").await, Ok(Bytes::from("x")));
    assert_eq!(fields(&one(&log, "grid::call", "call")), ["handler", "mux", "peer"].into());
    assert_eq!(one(&log, "grid::call", "serve").field("handler"), "raw handler 10");
}

#[tokio::test(start_paused = true)]
async fn how_a_call_failed_is_told_inside_its_span() {
    let (log, _listening) = Log::listen();
    let network = Network::default();
    let (left, _right) = network.pair(|left| left, serve).await;
    let connection = only(&left);
    assert!(matches!(connection.single(FAIL, "").await, Err(CallError::Remote(_))));
    assert!(matches!(connection.single(99, "").await, Err(CallError::Refused(_))));
    let refused = one(&log, "grid::call", "refused");
    assert_eq!((refused.level, refused.field("reason")), (Level::DEBUG, "UnknownHandler"));
    let late = connection.single(HANG, "").timeout(Duration::from_secs(1)).await;
    assert_eq!(late, Err(CallError::DeadlineExceeded));
    let late = one(&log, "grid::call", "deadline exceeded");
    assert_eq!((late.level, late.within), (Level::DEBUG, Some("call")));

    let cut_off = tokio::spawn(connection.single(HANG, "").into_future());
    settle().await;
    network.cut();
    assert!(matches!(within(cut_off).await.expect("no panic"), Err(CallError::Disconnected(_))));
    let failed = log.of("grid::call", "failed");
    let outcomes: Vec<_> = failed.iter().map(|failed| failed.field("outcome")).collect();
    assert_eq!(outcomes, ["remote", "refused", "disconnected"]);
    assert!(failed.iter().all(|failed| failed.level == Level::DEBUG && failed.within == Some("call")));
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_panics_is_an_error_in_the_log_with_its_span_around_it() {
    let (log, _listening) = Log::listen();
    let (left, _right) = Network::default().pair(|left| left, serve).await;
    assert!(only(&left).single(PANIC, "").await.is_err());
    let panicked: Vec<_> = log.all().into_iter().filter(|entry| entry.level == Level::ERROR).collect();
    let [panicked] = &*panicked else { panic!("one error: {panicked:?}") };
    assert_eq!((&*panicked.target, panicked.within), ("grid::call", Some("serve")));
    let told = format!("{} {:?}", panicked.name, panicked.fields);
    assert!(told.contains("a handler panicked") && told.contains("out of paper"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn links_that_come_and_go_are_told_on_both_sides() {
    let (log, _listening) = Log::listen();
    let network = Network::default();
    let (left, right) = network.pair(|left| left, serve).await;
    network.cut();
    settle().await;
    for (message, wanted) in [("connected", "instance"), ("disconnected", "why")] {
        let told = log.of("grid::link", message);
        let sides: BTreeSet<_> = told.iter().map(|told| (told.field("local"), told.field("peer"))).collect();
        assert_eq!(sides, [(left.name(), right.name()), (right.name(), left.name())].into(), "{message}");
        assert!(told.iter().all(|told| told.level == Level::INFO));
        assert!(told.iter().all(|told| fields(told) == ["local", "peer", wanted].into()), "{told:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_is_away_is_warned_of_once_until_it_was_back() {
    let (log, _listening) = Log::listen();
    let network = Network::default();
    let (left, right) = network.pair(quick, quick).await;
    for absence in 1..=3 {
        network.set_down(true);
        network.cut();
        let dials = network.dials().len();
        while network.dials().len() < dials + 100 {
            sleep(Duration::from_millis(5)).await;
        }
        let told = log.of("grid::link", "cannot connect; trying on");
        assert_eq!(told.len(), absence, "{told:?}");
        assert!(told.iter().all(|told| told.level == Level::WARN && told.field("peer") == right.name()));
        assert_eq!(fields(&told[0]), ["local", "peer", "why"].into());
        assert!(log.of("grid::link", "cannot connect").len() >= 99 * absence, "the rest is told at debug");
        network.set_down(false);
        within(only(&left).ready()).await.expect("not shut down");
    }
    assert_eq!(log.all().iter().filter(|entry| entry.level == Level::WARN).count(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_is_refused_is_warned_of_once_on_either_side() {
    let (log, _listening) = Log::listen();
    let network = Network::default();
    let (dialling, dialled) = names();
    let node = |name: &str, peer: &str, secret: &str| {
        quick(network.builder(name)).peers([peer]).shared_secret(secret).build().expect("it starts")
    };
    let right = node(&dialled, &dialling, "good");
    network.add(&right);
    let _left = node(&dialling, &dialled, "bad");
    while network.dials().len() < 100 {
        sleep(Duration::from_millis(5)).await;
    }
    let warned: Vec<_> = log.all().into_iter().filter(|entry| entry.level == Level::WARN).collect();
    let why: BTreeSet<_> = warned.iter().map(|warned| (warned.field("local"), warned.field("why"))).collect();
    let text = "rejected: auth token: signed with another secret, or for another node";
    assert_eq!(why, [(&*dialling, text), (&*dialled, text)].into());
    assert_eq!(warned.len(), 2, "{warned:?}");
}

/// Strangers cannot bring a node to say nothing of its own peers, nor to say much of them.
#[tokio::test(start_paused = true)]
async fn however_many_strangers_are_refused_a_peer_that_is_away_is_still_warned_of() {
    let (log, _listening) = Log::listen();
    let network = Network::default();
    let (left, right) = network.pair(quick, quick).await;
    network.add(&left);
    let start = Instant::now();
    let strangers = (0..2_000).map(|number| format!("http://stranger-{number}:1"));
    for stranger in strangers.filter(|stranger| dials(stranger, left.name())).take(600) {
        let before = network.dials().len();
        let stranger = quick(network.builder(&stranger)).peers([left.name()]).build().expect("it starts");
        settle().await;
        assert!(network.dials().len() > before);
        drop(stranger);
    }
    let refused = log.of("grid::link", "refused a connection");
    assert!(refused.len() >= 600, "{} of 600", refused.len());
    let warned = refused.iter().filter(|refused| refused.level == Level::WARN).count();
    let minutes = usize::try_from(start.elapsed().as_secs() / 60).unwrap();
    assert!((1..=1 + minutes).contains(&warned), "{warned} warnings in {minutes} minutes");
    network.set_down(true);
    network.cut();
    sleep(Duration::from_secs(1)).await;
    let told = log.of("grid::link", "cannot connect; trying on");
    let told: Vec<_> = told.iter().filter(|told| told.field("peer") == right.name()).collect();
    assert_eq!(told.len(), 1, "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_drain_is_told_and_that_calls_still_ran_at_its_end() {
    let (log, _listening) = Log::listen();
    let (left, right) = Network::default().pair(|left| left, serve).await;
    let call = tokio::spawn(only(&left).single(HANG, "").into_future());
    settle().await;
    within(right.shutdown()).await;
    assert!(call.await.expect("no panic").is_err());
    let draining = one(&log, "grid::node", "draining");
    assert_eq!((draining.level, draining.field("name"), draining.field("links")), (Level::INFO, right.name(), "1"));
    let still_running = one(&log, "grid::node", "calls still run at the end of the drain");
    assert_eq!((still_running.level, still_running.field("name")), (Level::WARN, right.name()));
}

#[tokio::test(start_paused = true)]
async fn the_log_shows_no_payload_no_error_of_a_handler_and_no_token() {
    let (log, _listening) = Log::listen();
    let secret = |builder: ManagerBuilder| serve(builder).token_source(|_| ready("SECRET token".into()));
    let (left, right) = Network::default().pair(secret, secret).await;
    let calls = |connection: Connection| async move {
        connection.single(ECHO, "SECRET payload").metadata("SECRET name", "SECRET value").await.expect("it answers");
        connection.single(FAIL, "SECRET payload").await.expect_err("it fails");
        connection.single(99, "SECRET payload").await.expect_err("nobody serves it");
    };
    calls(only(&left)).await;
    calls(only(&right)).await;
    for entry in log.all() {
        assert!(!format!("{entry:?}").contains("SECRET"), "{entry:?}");
    }
    assert_eq!(log.of("grid::call", "serve").len(), 4);
}

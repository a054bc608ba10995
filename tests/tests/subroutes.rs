//! The same service many times, each under a subroute. Under virtual time.

use std::convert::Infallible;

use grid::{CallError, Connection, Context, Manager, ManagerBuilder, RefusalReason};
use grid_tests::memory::Network;
use grid_tests::mesh::only;

#[grid::service(id = 3)]
trait Disk {
    /// The name of the disk, and the subroute by which it was called.
    async fn name(&self, cx: &Context) -> (String, Option<String>);
}

#[grid::service(id = 0)]
trait Flat {
    #[rpc(id = 10)]
    async fn name(&self) -> String;
}

struct Named(&'static str);

impl Disk for Named {
    async fn name(&self, cx: &Context) -> (String, Option<String>) {
        (self.0.to_owned(), cx.subroute().map(str::to_owned))
    }
}

impl Flat for Named {
    async fn name(&self) -> String {
        self.0.to_owned()
    }
}

fn disks(builder: ManagerBuilder) -> ManagerBuilder {
    let disk = |name| DiskServer::new(Named(name));
    builder
        .serve(disk("plain"))
        .serve_at("a", disk("a"))
        .serve_at("a/b", disk("a/b"))
        .serve_at("a/", disk("a/"))
        .serve_at("", disk("empty"))
        .serve_at("Straße 1", disk("Straße 1"))
        .serve_at("a", FlatServer::new(Named("flat a")))
}

async fn mesh() -> (Manager, Manager) {
    Network::default().pair(|left| left, disks).await
}

async fn name(connection: Connection) -> Result<(String, Option<String>), CallError<Infallible>> {
    DiskClient::new(connection).name().await
}

fn named(name: &str, subroute: Option<&str>) -> Result<(String, Option<String>), CallError<Infallible>> {
    Ok((name.to_owned(), subroute.map(str::to_owned)))
}

#[tokio::test(start_paused = true)]
async fn a_subroute_picks_its_instance_and_none_the_plain_one() {
    let (left, _right) = mesh().await;
    let connection = only(&left);
    assert_eq!(name(connection.clone()).await, named("plain", None));
    for subroute in ["a", "a/b", "a/", "Straße 1"] {
        assert_eq!(name(connection.subroute(subroute)).await, named(subroute, Some(subroute)));
    }
    assert_eq!(name(connection.subroute("")).await, named("empty", Some("")), "the empty one is a subroute, too");
}

#[tokio::test(start_paused = true)]
async fn subroutes_nest_and_are_taken_as_they_are() {
    let (left, _right) = mesh().await;
    let a = only(&left).subroute("a");
    assert_eq!(name(a.subroute("b")).await, named("a/b", Some("a/b")));
    assert_eq!(name(a.subroute("")).await, named("a/", Some("a/")));
    assert_eq!(name(a.clone()).await, named("a", Some("a")), "the outer one is as it was");
    for unknown in [a.subroute("/b"), a.subroute("c"), only(&left).subroute("/a"), only(&left).subroute("A")] {
        match name(unknown).await {
            Err(CallError::Refused(refusal)) => assert_eq!(refusal.reason(), RefusalReason::UnknownHandler),
            other => panic!("not refused: {other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn services_share_a_subroute_and_do_not_mix() {
    let (left, _right) = mesh().await;
    let a = only(&left).subroute("a");
    assert_eq!(FlatClient::new(a.clone()).name().await.as_deref(), Ok("flat a"));
    assert_eq!(name(a).await, named("a", Some("a")));
    assert!(FlatClient::new(only(&left)).name().await.is_err(), "it is served under the subroute only");
}

#[tokio::test(start_paused = true)]
async fn calls_under_many_subroutes_at_once_do_not_mix() {
    let (left, _right) = mesh().await;
    let calls = (0..300).map(|number| {
        let subroute = ["a", "a/b", "a/", "Straße 1"][number % 4];
        let connection = only(&left).subroute(subroute);
        async move { assert_eq!(name(connection).await, named(subroute, Some(subroute))) }
    });
    futures_util::future::join_all(calls).await;
}

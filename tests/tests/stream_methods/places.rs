//! Everything that may stand around a stream: arguments, contexts, bodies, attributes, names, subroutes, paths.

use std::collections::BTreeSet;
use std::sync::Mutex;

use futures_util::{StreamExt, stream};
use grid::{Context, Describe, Inbound, Outbound, RemoteError, Stream};
use grid_tests::mesh::{only, pair, soon};
use serde::{Deserialize, Serialize};

use super::{collect, serving};

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Range {
    from: u32,
    to: u32,
}

/// Arguments that are sent, beside streams and contexts in any order.
#[grid::service(id = 1)]
trait Arguments {
    fn one(&self, prefix: &str) -> impl Stream<Item = String>;
    fn lent(&self, range: &Range) -> impl Stream<Item = u32>;
    fn slice(&self, numbers: &[u32], cx: &Context) -> impl Stream<Item = u32>;
    fn several(&self, a: &str, cx: Context, b: &[u8], #[serde(default)] c: Range) -> impl Stream<Item = String>;
    async fn around(
        &self,
        a: &str,
        rows: Inbound<u32>,
        cx: &Context,
        b: Option<String>,
        out: Outbound<String>,
        c: Vec<&str>,
    ) -> Result<(), RemoteError>;
    async fn request(&self, rows: Inbound<u32>, data: &[u8]) -> Vec<u8>;
}

struct Show;

impl Arguments for Show {
    fn one(&self, prefix: &str) -> impl Stream<Item = String> {
        stream::iter(0..3).then(move |number| async move { format!("{prefix}{number}") })
    }

    fn lent(&self, range: &Range) -> impl Stream<Item = u32> {
        stream::iter((0..3).map(|number| range.from + number).take_while(|number| *number < range.to))
    }

    fn slice(&self, numbers: &[u32], cx: &Context) -> impl Stream<Item = u32> {
        let method = cx.handler_id().method();
        stream::iter(numbers).map(move |number| number + u32::from(method))
    }

    fn several(&self, a: &str, cx: Context, b: &[u8], c: Range) -> impl Stream<Item = String> {
        stream::iter([a.to_owned(), cx.handler_id().to_string(), format!("{b:?}"), format!("{}", c.to)])
    }

    async fn around(
        &self,
        a: &str,
        mut rows: Inbound<u32>,
        cx: &Context,
        b: Option<String>,
        out: Outbound<String>,
        c: Vec<&str>,
    ) -> Result<(), RemoteError> {
        while let Some(row) = rows.next().await {
            out.send(format!("{a} {b:?} {c:?} {} {}", cx.handler_id(), row?)).await?;
        }
        Ok(())
    }

    async fn request(&self, mut rows: Inbound<u32>, data: &[u8]) -> Vec<u8> {
        while let Some(Ok(_)) = rows.next().await {}
        data.to_vec()
    }
}

#[tokio::test]
async fn streams_and_contexts_stand_anywhere_and_are_not_sent() {
    let (connection, _nodes) = serving(ArgumentsServer::new(Show)).await;
    let client = ArgumentsClient::new(connection);
    let one = { client.one(&String::from("k")) };
    assert_eq!(collect(one.await.expect("it opens")).await.0, ["k0", "k1", "k2"]);
    assert_eq!(collect(client.lent(&Range { from: 1, to: 3 }).await.expect("it opens")).await.0, [1, 2]);
    assert_eq!(collect(client.slice(&[7, 70_000]).await.expect("it opens")).await.0, [10, 70_003]);
    let several = client.several("a", &[], Range { from: 0, to: 5 });
    assert_eq!(collect(several.await.expect("it opens")).await.0, ["a", "1.4", "[]", "5"]);

    let (rows, out) = client.around("a", Some("b".into()), vec!["c", "d"]).await.expect("it opens");
    soon(rows.send(5)).await.expect("the handler reads");
    soon(rows.finish()).await.expect("the handler reads");
    assert_eq!(collect(out).await.0, [r#"a Some("b") ["c", "d"] 1.5 5"#]);

    let (rows, data) = client.request(&[1, 2]).await.expect("it opens");
    soon(rows.finish()).await.expect("the handler reads");
    assert_eq!(soon(data).await, Ok(vec![1, 2]), "a lone argument is sent as itself");

    let names = |method: usize| ArgumentsClient::DESCRIPTION.methods[method].arguments.iter().map(|a| a.name);
    assert_eq!(names(4).collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(names(5).collect::<Vec<_>>(), ["data"]);
}

/// Methods with bodies.
#[grid::service(id = 2)]
trait Bodies {
    fn watch(&self, prefix: &str) -> impl Stream<Item = Result<String, RemoteError>> {
        stream::iter([Ok(prefix.to_owned()), Err(RemoteError::new("the end"))])
    }

    fn echo(&self, rows: Inbound<u32>, cx: &Context) -> impl Stream<Item = u32> {
        let id = u32::from(cx.handler_id().method());
        rows.map(move |row| row.map_or(0, |row| row + id))
    }

    async fn sum(&self, rows: Inbound<u32>) -> Result<u32, RemoteError> {
        let mut rows = rows;
        let mut sum = 0;
        while let Some(row) = rows.next().await {
            sum += row?;
        }
        if sum == 0 {
            return Err("nothing came".into());
        }
        Ok(sum)
    }

    async fn copy(&self, rows: Inbound<u32>, out: Outbound<u32>) {
        let mut rows = rows;
        while let Some(Ok(row)) = rows.next().await {
            let Ok(()) = out.send(row).await else { return };
        }
    }

    async fn none(&self, _rows: Inbound<u32>, _out: Outbound<u32>) {}
}

impl Bodies for Show {}

#[tokio::test]
async fn methods_with_streams_may_have_bodies() {
    let (connection, _nodes) = serving(BodiesServer::new(Show)).await;
    let client = BodiesClient::new(connection);
    let (items, end) = collect(client.watch("k").await.expect("it opens")).await;
    assert_eq!((items, end.is_err()), (vec!["k".to_owned()], true));
    let (rows, sum) = client.sum().await.expect("it opens");
    soon(rows.finish()).await.expect("the handler reads");
    assert_eq!(soon(sum).await, Err(grid::CallError::Remote("nothing came".into())));
    for (call, plus) in [(client.echo(), 2), (client.copy(), 0)] {
        let (rows, out) = match plus {
            0 => call.await.expect("it opens"),
            _ => call.await.expect("it opens"),
        };
        soon(rows.send(5)).await.expect("the handler reads");
        soon(rows.finish()).await.expect("the handler reads");
        assert_eq!(collect(out).await, (vec![5 + plus], Ok(())));
    }
    let (_rows, out) = client.none().await.expect("it opens");
    assert_eq!(collect(out).await, (vec![], Ok(())));
}

/// Attributes and names, of methods, arguments and items.
#[grid::service(id = 3)]
#[allow(clippy::wrong_self_convention, reason = "the names are the point")]
trait Names {
    fn r#type(&self, r#match: u32) -> impl Stream<Item = r#struct>;
    async fn open(&self, inbound: Outbound<u32>, outbound: Inbound<u32>, items: u32, request: u32, service: u32);
    async fn new(&self, r#in: Inbound<u32>) -> u32;

    #[cfg(any())]
    fn gone(&self, missing: Inbound<Missing>) -> impl Stream<Item = Missing>;

    #[deprecated]
    fn old(&self) -> impl Stream<Item = u32> + Send + Unpin;
}

#[allow(non_camel_case_types, reason = "the name is the point")]
type r#struct = u32;

impl Names for Show {
    fn r#type(&self, r#match: u32) -> impl Stream<Item = r#struct> {
        stream::iter([r#match])
    }

    async fn open(&self, inbound: Outbound<u32>, mut outbound: Inbound<u32>, items: u32, request: u32, service: u32) {
        while let Some(Ok(item)) = outbound.next().await {
            inbound.send(item + items + request + service).await.expect("the caller reads");
        }
    }

    async fn new(&self, r#in: Inbound<u32>) -> u32 {
        r#in.collect::<Vec<_>>().await.len() as u32
    }

    fn old(&self) -> impl Stream<Item = u32> + Unpin {
        stream::iter([1])
    }
}

#[tokio::test]
async fn names_do_not_collide_and_attributes_are_kept() {
    let (connection, _nodes) = serving(NamesServer::new(Show)).await;
    let client = NamesClient::from(connection);
    assert_eq!(collect(client.r#type(7).await.expect("it opens")).await.0, [7]);
    let (rows, out) = client.open(1, 2, 4).await.expect("it opens");
    soon(rows.send(8)).await.expect("the handler reads");
    soon(rows.finish()).await.expect("the handler reads");
    assert_eq!(collect(out).await.0, [15]);
    let (rows, count) = client.new().await.expect("it opens");
    soon(rows.finish()).await.expect("the handler reads");
    assert_eq!(soon(count).await, Ok(0));
    #[expect(deprecated, reason = "this is where it must warn")]
    let old = client.old();
    assert_eq!(collect(old.await.expect("it opens")).await.0, [1]);
    let methods = <NamesClient as Describe>::DESCRIPTION.methods;
    assert_eq!(methods.iter().map(|method| method.name).collect::<Vec<_>>(), ["type", "open", "new", "old"]);
}

/// Where nothing means what it means elsewhere, and grid is under another path.
#[allow(dead_code, non_camel_case_types, reason = "to be in the way")]
mod shadowed {
    pub(super) mod core {}
    pub(super) mod std {}
    pub(super) mod net {
        pub(in super::super) use ::grid as rpc;
    }
    pub(super) struct Box;
    pub(super) struct Ok;
    pub(super) struct Err;
    pub(super) struct Infallible;
    pub(super) struct Call;
    pub(super) struct AnswerFuture;
    pub(super) trait Send {}
    pub(super) trait Stream {}
    pub(super) trait Future {}
    pub(super) type Result<T> = ::core::result::Result<T, ()>;

    #[net::rpc::service(id = 4, crate = "crate::places::shadowed::net::rpc")]
    pub(super) trait Shadowed {
        fn watch(&self, count: u8) -> impl net::rpc::Stream<Item = ::core::result::Result<u8, u8>>;
        async fn echo(
            &self,
            rows: net::rpc::Inbound<u8>,
            out: net::rpc::Outbound<u8>,
        ) -> ::core::result::Result<(), u8>;
        async fn count(&self, rows: net::rpc::Inbound<u8>) -> u8;
    }

    pub(super) struct Served;

    impl Shadowed for Served {
        fn watch(&self, count: u8) -> impl net::rpc::Stream<Item = ::core::result::Result<u8, u8>> {
            super::stream::iter([::core::result::Result::Err(count)])
        }

        async fn echo(
            &self,
            mut rows: net::rpc::Inbound<u8>,
            out: net::rpc::Outbound<u8>,
        ) -> ::core::result::Result<(), u8> {
            out.send(rows.next().await.unwrap().unwrap()).await.map_err(|_| 1)
        }

        async fn count(&self, rows: net::rpc::Inbound<u8>) -> u8 {
            super::StreamExt::count(rows).await as u8
        }
    }
}

#[tokio::test]
async fn generated_code_means_what_it_says_wherever_it_stands() {
    let (connection, _nodes) = serving(shadowed::ShadowedServer::new(shadowed::Served)).await;
    let client = shadowed::ShadowedClient::new(connection);
    let end = collect(client.watch(7).await.expect("it opens")).await.1;
    assert_eq!(end, Err(grid::CallError::Remote(7)));
    let (rows, out) = client.echo().await.expect("it opens");
    soon(rows.send(3)).await.expect("the handler reads");
    assert_eq!(collect(out).await, (vec![3], Ok(())));
    let (rows, count) = client.count().await.expect("it opens");
    soon(rows.finish()).await.expect("the handler reads");
    assert_eq!(soon(count).await, Ok(0));
}

macro_rules! make_service {
    ($name:ident, $item:ty, $rows:ty, $stream:ty, $answer:ty) => {
        #[grid::service(id = 5)]
        trait $name {
            fn watch(&self, one: $item) -> $stream;
            async fn sum(&self, rows: $rows) -> $answer;
        }
    };
}

make_service!(Made, u32, Inbound<u32>, impl Stream<Item = u32>, Result<u32, RemoteError>);

impl Made for Show {
    fn watch(&self, one: u32) -> impl Stream<Item = u32> {
        stream::iter([one])
    }

    async fn sum(&self, rows: Inbound<u32>) -> Result<u32, RemoteError> {
        Ok(rows.count().await as u32)
    }
}

#[tokio::test]
async fn services_with_streams_may_be_made_by_macros() {
    let (connection, _nodes) = serving(MadeServer::new(Show)).await;
    let client = MadeClient::new(connection);
    assert_eq!(collect(client.watch(5).await.expect("it opens")).await.0, [5]);
    let (rows, sum) = client.sum().await.expect("it opens");
    soon(rows.finish()).await.expect("the handler reads");
    assert_eq!(soon(sum).await, Ok(0));
}

/// Remembers what it was called by.
#[grid::service(id = 6)]
trait Disk {
    fn list(&self, cx: &Context) -> impl Stream<Item = (String, Option<String>)>;
    async fn write(&self, cx: &Context, rows: Inbound<String>) -> usize;
}

struct Named(&'static str, Mutex<BTreeSet<String>>);

impl Disk for Named {
    fn list(&self, cx: &Context) -> impl Stream<Item = (String, Option<String>)> {
        let rows = self.1.lock().expect("no panic").clone();
        let subroute = cx.subroute().map(str::to_owned);
        stream::iter([self.0.to_owned()].into_iter().chain(rows)).map(move |name| (name, subroute.clone()))
    }

    async fn write(&self, cx: &Context, mut rows: Inbound<String>) -> usize {
        while let Some(Ok(row)) = rows.next().await {
            let row = format!("{row} by {}", cx.subroute().unwrap_or("nobody"));
            self.1.lock().expect("no panic").insert(row);
        }
        self.1.lock().expect("no panic").len()
    }
}

#[tokio::test]
async fn a_service_with_streams_is_served_by_subroute() {
    let disk = |name| DiskServer::new(Named(name, Mutex::default()));
    let right = |right: grid::ManagerBuilder| right.serve_at("a", disk("first")).serve_at("b", disk("second"));
    let (left, _right) = pair(|left| left, right).await;
    let [a, b] = ["a", "b"].map(|subroute| DiskClient::new(only(&left).subroute(subroute)));
    let (rows, written) = b.write().await.expect("it opens");
    soon(rows.send("row".into())).await.expect("the handler reads");
    soon(rows.finish()).await.expect("the handler reads");
    assert_eq!(soon(written).await, Ok(1));
    let items = |disk: &str, names: &[&str]| -> Vec<_> {
        names.iter().map(|name| ((*name).to_owned(), Some(disk.to_owned()))).collect()
    };
    assert_eq!(collect(a.list().await.expect("it opens")).await.0, items("a", &["first"]));
    assert_eq!(collect(b.list().await.expect("it opens")).await.0, items("b", &["second", "row by b"]));
}

//! What items may be, in either codec.

use std::marker::PhantomData;

use futures_util::{Stream, StreamExt, stream};
use grid::{CallError, Inbound, Outbound, RemoteError};
use grid_tests::mesh::soon;
use serde::{Deserialize, Serialize};

use super::{collect, serving};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Row {
    name: String,
    data: Vec<u8>,
    next: Option<Box<Row>>,
}

fn row(name: &str) -> Row {
    Row { name: name.into(), data: name.into(), next: None }
}

macro_rules! echo_service {
    ($module:ident, $codec:literal, $($method:ident: $item:ty),*) => {
        mod $module {
            use super::*;

            #[grid::service(id = 1, codec = $codec)]
            pub(super) trait Echo {
                $(
                    #[rpc(window = 4)]
                    fn $method(&self, items: Inbound<$item>) -> impl Stream<Item = $item>;
                )*
            }

            struct Same;

            impl Echo for Same {
                $(fn $method(&self, items: Inbound<$item>) -> impl Stream<Item = $item> {
                    items.map(|item| item.expect("it can be decoded"))
                })*
            }

            pub(super) async fn client() -> (EchoClient, (grid::Manager, grid::Manager)) {
                let (connection, nodes) = serving(EchoServer::new(Same)).await;
                (EchoClient::new(connection), nodes)
            }
        }
    };
}

echo_service!(named, "named", row: Row, text: String, bytes: Vec<u8>, option: Option<u32>, maybe_bytes: Option<Vec<u8>>, unit: (), nested: Vec<Option<Row>>);
echo_service!(compact, "compact", row: Row, text: String, bytes: Vec<u8>, option: Option<u32>, maybe_bytes: Option<Vec<u8>>, unit: (), nested: Vec<Option<Row>>);

macro_rules! echoed {
    ($client:expr; $($method:ident $items:expr;)*) => {$({
        let (outbound, inbound) = $client.$method().await.expect("it opens");
        let items = $items;
        let sending = async {
            for item in items.clone() {
                outbound.send(item).await.expect("the handler reads");
            }
            outbound.finish().await.expect("the handler reads");
        };
        let ((), echoed) = soon(async { tokio::join!(sending, collect(inbound)) }).await;
        assert_eq!(echoed, (items, Ok(())), stringify!($method));
    })*};
}

macro_rules! all_echoed {
    ($client:expr) => {
        echoed! {
            $client;
            row vec![row("a"), Row { next: Some(Box::new(row("c"))), ..row("b") }, row("")];
            text vec![String::new(), "k".into(), "x".repeat(10_000), String::new()];
            bytes vec![vec![], vec![0_u8], vec![0xc0], vec![7; 10_000], vec![]];
            option vec![None, Some(0), None, Some(70_000)];
            maybe_bytes vec![None, Some(vec![]), Some(vec![1]), None];
            unit vec![(); 20];
            nested vec![vec![], vec![None, Some(row("a"))]];
        }
    };
}

#[tokio::test]
async fn items_are_any_owned_types_in_maps() {
    let (client, _nodes) = named::client().await;
    all_echoed!(client);
}

#[tokio::test]
async fn items_are_any_owned_types_in_arrays() {
    let (client, _nodes) = compact::client().await;
    all_echoed!(client);
}

/// Items, answers and errors that are the same, or each other's.
#[grid::service(id = 2)]
trait Mixed {
    fn results(&self) -> impl Stream<Item = Result<Result<u8, String>, RemoteError>>;
    async fn rows(&self, rows: Inbound<Row>, also_rows: Outbound<Row>) -> Result<(), Row>;
    async fn rows_to_bytes(&self, rows: Inbound<Row>) -> Result<Vec<u8>, Vec<u8>>;
    async fn rows_to_option(&self, rows: Inbound<Row>) -> Option<Row>;
    fn lonely(&self) -> impl Stream<Item = Result<u8, Lonely>>;
}

/// Not `Send`, which an error need not be.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Lonely(PhantomData<*const u8>);

struct Served;

impl Mixed for Served {
    fn results(&self) -> impl Stream<Item = Result<Result<u8, String>, RemoteError>> {
        stream::iter([Ok(Ok(1)), Ok(Err("inner".into())), Err(RemoteError::new("outer"))])
    }

    async fn rows(&self, mut rows: Inbound<Row>, also_rows: Outbound<Row>) -> Result<(), Row> {
        while let Some(Ok(row)) = rows.next().await {
            also_rows.send(row).await.map_err(|_| self::row("cut"))?;
        }
        Err(row("end"))
    }

    async fn rows_to_bytes(&self, mut rows: Inbound<Row>) -> Result<Vec<u8>, Vec<u8>> {
        match rows.next().await {
            Some(Ok(row)) => Ok(row.data),
            _ => Err(vec![]),
        }
    }

    async fn rows_to_option(&self, mut rows: Inbound<Row>) -> Option<Row> {
        rows.next().await?.ok()
    }

    fn lonely(&self) -> impl Stream<Item = Result<u8, Lonely>> {
        stream::iter(0..3).map(|number| if number < 2 { Ok(number) } else { Err(Lonely(PhantomData)) })
    }
}

#[tokio::test]
async fn items_answers_and_errors_keep_apart() {
    let (connection, _nodes) = serving(MixedServer::new(Served)).await;
    let client = MixedClient::new(connection);
    let results = collect(client.results().await.expect("it opens")).await;
    let outer = CallError::Remote(RemoteError::new("outer"));
    assert_eq!(results, (vec![Ok(1), Err("inner".into())], Err(outer)));

    let lonely = collect(client.lonely().await.expect("it opens")).await;
    assert_eq!(lonely, (vec![0, 1], Err(CallError::Remote(Lonely(PhantomData)))));

    let (outbound, inbound) = client.rows().await.expect("it opens");
    outbound.send(row("a")).await.expect("the handler reads");
    outbound.finish().await.expect("the handler reads");
    assert_eq!(collect(inbound).await, (vec![row("a")], Err(CallError::Remote(row("end")))));

    for first in [None, Some(row("")), Some(row("a"))] {
        let (outbound, answer) = client.rows_to_bytes().await.expect("it opens");
        let (also_outbound, also_answer) = client.rows_to_option().await.expect("it opens");
        if let Some(row) = &first {
            outbound.send(row.clone()).await.expect("the handler reads");
            also_outbound.send(row.clone()).await.expect("the handler reads");
        }
        // A handler that has answered does not wait for the end.
        let _ended = (outbound.finish().await, also_outbound.finish().await);
        let bytes = first.clone().map(|row| row.data).ok_or(CallError::Remote(vec![]));
        assert_eq!((soon(answer).await, soon(also_answer).await), (bytes, Ok(first)));
    }
}

/// The two ends have another type of the items.
mod other {
    use grid::{Inbound, Outbound};

    #[grid::service(id = 1)]
    pub(super) trait Echo {
        #[rpc(id = 2)]
        async fn text(&self, items: Inbound<String>, echo: Outbound<u64>);
    }
}

#[tokio::test]
async fn an_item_of_another_type_ends_the_callers_stream_with_an_error() {
    let (connection, _nodes) = async {
        let (client, nodes) = named::client().await;
        drop(client);
        (grid_tests::mesh::only(&nodes.0), nodes)
    }
    .await;
    let (outbound, inbound) = other::EchoClient::new(connection).text().await.expect("it opens");
    outbound.send("text".into()).await.expect("the handler reads");
    let (items, end) = collect(inbound).await;
    assert!(items.is_empty() && matches!(end, Err(CallError::Decode(_))), "{end:?}");
}

//! How arguments are taken, alone and among others, and what is answered.

use std::borrow::Cow;
use std::collections::BTreeMap;

use grid::{CallError, Context, Describe, RemoteError};
use serde::{Deserialize, Serialize};

use super::serving;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Row<'a> {
    name: &'a str,
    #[serde(borrow)]
    note: Cow<'a, str>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Point {
    x: i32,
    y: i32,
}

fn row(name: &str) -> Row<'_> {
    Row { name, note: "n".into() }
}

/// Each form alone, where it is the payload.
#[grid::service(id = 1)]
trait Alone {
    async fn none(&self) -> String;
    async fn text(&self, a: &str) -> String;
    async fn bytes(&self, a: &[u8]) -> String;
    async fn slice(&self, a: &[u32]) -> String;
    async fn borrowed_slice(&self, a: &[&str]) -> String;
    async fn reference(&self, a: &Point) -> String;
    async fn reference_twice(&self, a: &&str) -> String;
    #[allow(clippy::ptr_arg, reason = "it is allowed, if not good")]
    async fn string_reference(&self, a: &String) -> String;
    async fn array_reference(&self, a: &[u8; 2]) -> String;
    async fn borrowed_reference(&self, a: &Row<'_>) -> String;
    async fn borrowed(&self, a: Row<'_>) -> String;
    async fn option(&self, a: Option<&str>) -> String;
    async fn cow(&self, a: Cow<'_, str>) -> String;
    async fn tuple(&self, a: (&str, u8)) -> String;
    async fn vec(&self, a: Vec<&str>) -> String;
    async fn owned(&self, a: Point) -> String;
    async fn map(&self, a: BTreeMap<String, Vec<u8>>) -> String;
    async fn unit(&self, a: ()) -> String;
    #[allow(unused_parens, reason = "a type may stand in parentheses")]
    async fn paren(&self, a: (&str)) -> String;
}

/// The same among others, where they are a map.
#[grid::service(id = 2)]
trait Among {
    async fn references(&self, a: &str, b: &[u8], c: &[u32], d: &[&str], e: &Point, f: &Row<'_>) -> String;
    async fn values(
        &self,
        a: Row<'_>,
        b: Option<&str>,
        c: Cow<'_, str>,
        d: (&str, u8),
        e: Vec<&str>,
        f: Point,
    ) -> String;
}

struct Show;

macro_rules! show {
    ($($(#[$attribute:meta])* $method:ident $ty:ty),*) => {
        impl Alone for Show {
            async fn none(&self) -> String { "none".into() }
            $(async fn $method(&self, a: $ty) -> String { format!("{a:?}") })*
        }
    };
}

show!(
    text &str, bytes &[u8], slice &[u32], borrowed_slice &[&str], reference &Point, reference_twice &&str,
    string_reference &String, array_reference &[u8; 2], borrowed_reference &Row<'_>, borrowed Row<'_>,
    option Option<&str>, cow Cow<'_, str>, tuple (&str, u8), vec Vec<&str>, owned Point, map BTreeMap<String, Vec<u8>>,
    unit (), paren &str
);

impl Among for Show {
    async fn references(&self, a: &str, b: &[u8], c: &[u32], d: &[&str], e: &Point, f: &Row<'_>) -> String {
        format!("{:?}", (a, b, c, d, e, f))
    }

    async fn values(
        &self,
        a: Row<'_>,
        b: Option<&str>,
        c: Cow<'_, str>,
        d: (&str, u8),
        e: Vec<&str>,
        f: Point,
    ) -> String {
        format!("{:?}", (a, b, c, d, e, f))
    }
}

#[tokio::test]
async fn a_lone_argument_may_borrow_in_any_way() {
    let (connection, _nodes) = serving(AloneServer::new(Show)).await;
    let client = AloneClient::new(connection);
    assert_eq!(client.none().await.as_deref(), Ok("none"));
    macro_rules! shown {
        ($($method:ident $value:expr),* $(,)?) => {$(
            assert_eq!(client.$method($value).await, Ok(format!("{:?}", $value)), stringify!($method));
        )*};
    }
    shown!(
        text "k", bytes &[1_u8, 2], slice &[7, 70_000], borrowed_slice &["a", "b"], reference &Point { x: -1, y: 2 },
        reference_twice &"k", string_reference &String::from("k"), array_reference &[1_u8, 2],
        borrowed_reference &row("r"), borrowed row("r"), option Some("k"), option None::<&str>, cow Cow::from("k"),
        tuple ("k", 1), vec vec!["a", "b"], owned Point { x: 1, y: 2 },
        map BTreeMap::from([("k".to_owned(), vec![1_u8])]), unit (), paren "k",
    );
}

#[tokio::test]
async fn several_arguments_may_borrow_in_any_way() {
    let (connection, _nodes) = serving(AmongServer::new(Show)).await;
    let client = AmongClient::new(connection);
    let point = Point { x: 1, y: 2 };
    let answer = client.references("k", &[1, 2], &[3], &["d"], &point, &row("r")).await;
    assert_eq!(answer, Ok(format!("{:?}", ("k", [1, 2], [3], ["d"], &point, row("r")))));
    let answer = client.values(row("r"), None, "c".into(), ("d", 4), vec!["e"], point.clone()).await;
    assert_eq!(answer, Ok(format!("{:?}", (row("r"), None::<()>, "c", ("d", 4), ["e"], point))));
}

/// The service in its first form.
mod old {
    #[grid::service(id = 3)]
    pub(super) trait Shelf {
        async fn put(&self, key: String) -> u32;
        async fn list(&self, prefix: &str, limit: u32) -> u32;
    }
}

/// The same, grown by arguments that an old caller does not know.
mod new {
    #[grid::service(id = 3)]
    pub(super) trait Shelf {
        async fn put(&self, key: String) -> u32;
        async fn list(
            &self,
            #[serde(default)] sort: super::Point,
            prefix: &str,
            after: Option<&str>,
            #[serde(default)] skip: &[u32],
            limit: u32,
            #[serde(default)] scale: &u32,
        ) -> u32;
    }
}

struct Shelf;

impl new::Shelf for Shelf {
    async fn put(&self, _key: String) -> u32 {
        0
    }

    async fn list(&self, sort: Point, prefix: &str, after: Option<&str>, skip: &[u32], limit: u32, scale: &u32) -> u32 {
        assert_eq!((sort, prefix), (Point::default(), "p"));
        limit + skip.len() as u32 + after.map_or(0, |after| after.len() as u32) + scale
    }
}

#[tokio::test]
async fn arguments_may_be_added_if_they_have_a_default() {
    let (connection, _nodes) = serving(new::ShelfServer::new(Shelf)).await;
    let old = old::ShelfClient::new(connection.clone());
    assert_eq!(old.list("p", 5).await, Ok(5));
    let new = new::ShelfClient::new(connection);
    assert_eq!(new.list(Point::default(), "p", Some("ab"), &[1, 2, 3], 5, &10).await, Ok(20));
}

/// Every way to take the context.
#[grid::service(id = 4)]
trait Contexts {
    async fn alone(&self, cx: &Context) -> String;
    async fn owned(&self, cx: Context) -> String;
    async fn first(&self, cx: &Context, a: &str) -> String;
    async fn middle(&self, a: &str, cx: Context, b: &str) -> String;
    async fn last(&self, a: &str, b: &str, _cx: &grid::Context) -> String;
}

struct Ids;

impl Contexts for Ids {
    async fn alone(&self, cx: &Context) -> String {
        cx.handler_id().to_string()
    }

    async fn owned(&self, cx: Context) -> String {
        cx.handler_id().to_string()
    }

    async fn first(&self, cx: &Context, a: &str) -> String {
        format!("{}{a}", cx.handler_id())
    }

    async fn middle(&self, a: &str, cx: Context, b: &str) -> String {
        format!("{a}{}{b}", cx.handler_id())
    }

    async fn last(&self, a: &str, b: &str, cx: &Context) -> String {
        format!("{a}{b}{}", cx.handler_id())
    }
}

#[tokio::test]
async fn the_context_may_stand_anywhere_and_is_not_sent() {
    let (connection, _nodes) = serving(ContextsServer::new(Ids)).await;
    let client = ContextsClient::new(connection);
    assert_eq!(client.alone().await.as_deref(), Ok("4.1"));
    assert_eq!(client.owned().await.as_deref(), Ok("4.2"));
    assert_eq!(client.first("a").await.as_deref(), Ok("4.3a"));
    assert_eq!(client.middle("a", "b").await.as_deref(), Ok("a4.4b"));
    assert_eq!(client.last("a", "b").await.as_deref(), Ok("ab4.5"));
    let middle = ContextsClient::DESCRIPTION.methods[3];
    assert_eq!(middle.arguments.iter().map(|argument| argument.name).collect::<Vec<_>>(), ["a", "b"]);
}

type Alias = Result<u8, Point>;

/// Every way to answer.
#[grid::service(id = 5, codec = "compact")]
trait Answers {
    async fn nothing(&self);
    async fn unit(&self) -> ();
    async fn option(&self) -> Option<String>;
    async fn no_error(&self) -> Result<(), Point>;
    async fn error(&self) -> Result<String, Point>;
    async fn text_error(&self) -> std::result::Result<(), RemoteError>;
    async fn inner_result(&self) -> Option<Result<u8, Point>>;
    async fn alias(&self) -> Alias;
    async fn bytes(&self) -> Vec<u8>;
}

struct Answer;

impl Answers for Answer {
    async fn nothing(&self) {}
    async fn unit(&self) {}
    async fn option(&self) -> Option<String> {
        None
    }
    async fn no_error(&self) -> Result<(), Point> {
        Ok(())
    }
    async fn error(&self) -> Result<String, Point> {
        Err(Point { x: 1, y: 2 })
    }
    async fn text_error(&self) -> Result<(), RemoteError> {
        Err("boom".into())
    }
    async fn inner_result(&self) -> Option<Result<u8, Point>> {
        Some(Err(Point { x: 1, y: 2 }))
    }
    async fn alias(&self) -> Alias {
        Ok(7)
    }
    async fn bytes(&self) -> Vec<u8> {
        vec![1, 2]
    }
}

#[tokio::test]
async fn answers_and_errors_are_any_owned_types() {
    let (connection, _nodes) = serving(AnswersServer::new(Answer)).await;
    let client = AnswersClient::new(connection);
    let point = Point { x: 1, y: 2 };
    assert_eq!(client.nothing().await, Ok(()));
    assert_eq!(client.unit().await, Ok(()));
    assert_eq!(client.option().await, Ok(None));
    assert_eq!(client.no_error().await, Ok(()));
    assert_eq!(client.error().await, Err(CallError::Remote(point.clone())));
    assert_eq!(client.text_error().await, Err(CallError::Remote(RemoteError::new("boom"))));
    assert_eq!(client.inner_result().await, Ok(Some(Err(point))));
    assert_eq!(client.alias().await, Ok(Ok(7)), "an alias is not seen to be a result");
    assert_eq!(client.bytes().await, Ok(vec![1, 2]));
}

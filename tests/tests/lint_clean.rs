//! What `#[grid::service]` emits is clean under the lints that users turn on.
//!
//! Most of the proof is that this file compiles, and that clippy has nothing to say of it.

#![deny(missing_docs, warnings, unused)]
#![deny(clippy::all, clippy::pedantic, clippy::nursery)]
#![allow(clippy::redundant_pub_crate, reason = "contradicts unreachable_pub")]
#![deny(
    deprecated_in_future,
    elided_lifetimes_in_paths,
    explicit_outlives_requirements,
    let_underscore_drop,
    missing_debug_implementations,
    redundant_lifetimes,
    single_use_lifetimes,
    trivial_casts,
    trivial_numeric_casts,
    unit_bindings,
    unnameable_types,
    unreachable_pub,
    unsafe_code,
    unused_import_braces,
    unused_lifetimes,
    unused_qualifications,
    unused_results,
    variant_size_differences
)]

pub use self::public::{Catalog, CatalogClient, CatalogServer};
pub use self::streaming::{Feed, FeedClient, FeedServer, Nothing};

/// A public service in a public path, with everything that a method can have.
mod public {
    use std::borrow::Cow;

    use grid::{Context, RemoteError};

    /// A catalog of books.
    #[grid::service(id = 1, codec = "compact")]
    pub trait Catalog {
        /// Finds one.
        async fn find(&self, cx: &Context, isbn: &str) -> Result<Option<Vec<u8>>, RemoteError>;

        /// Adds some.
        #[rpc(id = 99, timeout = "5s", detach)]
        async fn add(
            &self,
            books: &[String],
            more: Vec<String>,
            #[serde(default)] shelf: u32,
        ) -> Result<(), RemoteError>;

        /// Names one.
        async fn name(&self, name: Cow<'_, str>) -> String;

        /// Has a body, and an argument that it does not use.
        async fn count(&self, shelf: u32, _unused: String) -> u64 {
            u64::from(shelf)
        }

        /// Has a body that answers with nothing.
        async fn nothing(&self, shelf: u32) {
            let _count = self.count(shelf, String::new()).await;
        }

        /// Has a body that ends early.
        async fn early(&self, shelf: u32) -> Result<u64, RemoteError> {
            if shelf == 0 {
                return Err(RemoteError::new("no shelf"));
            }
            let count = self.count(shelf, String::new()).await;
            Ok(count)
        }

        /// Has a body that never answers.
        async fn never(&self) -> u64 {
            loop {
                std::future::pending::<()>().await;
            }
        }

        /// Has a body still to be written.
        async fn later(&self, shelf: u32) -> Vec<String> {
            unimplemented!("shelf {shelf}")
        }

        /// Has no body to speak of.
        async fn empty(&self) {}

        /// Is not to be used.
        #[deprecated(since = "1.0.0", note = "use find")]
        async fn look(&self, isbn: String) -> bool;

        /// Looks like the methods of well-known traits.
        async fn clone(&self) -> u8;

        /// Looks like a conversion.
        #[expect(clippy::wrong_self_convention, reason = "so that clippy would say it of the client, too")]
        async fn into_books(&self, cx: Context) -> Vec<String>;

        /// Has many arguments.
        #[expect(clippy::too_many_arguments, reason = "to see that the client does not need this")]
        async fn many(&self, a: u8, b: u8, c: u8, d: u8, e: u8, f: u8, g: u8, h: u8) -> u8;

        /// Looks like a collection.
        async fn len(&self) -> u64;

        /// Looks like one, too.
        async fn is_empty(&self) -> bool;

        /// Is compiled out.
        #[cfg(any())]
        async fn gone(&self, missing: Missing) -> Missing;
    }
}

/// A public service with streams of each kind, with everything that a method with streams can have.
mod streaming {
    use std::collections::BTreeMap;

    use futures_util::stream;
    use grid::{Context, Inbound, Outbound, RemoteError, Stream};

    /// A feed of books.
    #[grid::service(id = 7, codec = "compact")]
    pub trait Feed {
        /// Returns a stream.
        #[rpc(id = 99, timeout = "5s", window = 8)]
        fn watch(&self, cx: &Context, place: &str) -> impl Stream<Item = Result<Vec<u8>, RemoteError>>;

        /// Returns a stream that cannot fail.
        fn tail(&self, place: String, #[serde(default)] from: u64) -> impl Stream<Item = String> + Send + Unpin;

        /// Sends items.
        async fn list(&self, place: &str, books: Outbound<BTreeMap<String, Vec<u8>>>) -> Result<(), RemoteError>;

        /// Sends items and cannot fail.
        async fn names(&self, names: Outbound<String>);

        /// Takes items.
        #[rpc(in_window = 1)]
        async fn load(&self, cx: Context, books: Inbound<Vec<u8>>) -> Result<u64, RemoteError>;

        /// Takes items and cannot fail.
        async fn count(&self, books: Inbound<Vec<u8>>) -> u64;

        /// Takes items and answers with nothing.
        async fn swallow(&self, books: Inbound<Vec<u8>>);

        /// Does both, with types that are complex.
        #[rpc(in_window = 1, out_window = 2)]
        async fn sync(
            &self,
            books: Inbound<BTreeMap<String, Result<u64, String>>>,
            since: u64,
            done: Outbound<BTreeMap<String, Result<u64, String>>>,
        ) -> Result<(), Vec<BTreeMap<String, Option<u64>>>>;

        /// Does both, and cannot fail.
        async fn copy(&self, books: Inbound<u8>, done: Outbound<u8>);

        /// Does both by what it returns.
        fn echo(&self, books: Inbound<u8>) -> impl Stream<Item = u8>;

        /// Has a body, and arguments that it does not use.
        fn numbers(&self, count: u8, _unused: Inbound<u8>) -> impl Stream<Item = u8> {
            stream::iter(0..count)
        }

        /// Has a body that ends early.
        async fn first(&self, books: Inbound<u8>, done: Outbound<u8>) -> Result<(), RemoteError> {
            let mut books = books;
            let Some(first) = books.next().await else { return Ok(()) };
            done.send(first?).await?;
            Ok(())
        }

        /// Has no body to speak of.
        async fn empty(&self, _books: Inbound<u8>, _done: Outbound<u8>) {}

        /// Has a body still to be written.
        async fn later(&self, books: Inbound<u8>) -> u64 {
            unimplemented!("{books:?}")
        }

        /// Is not to be used.
        #[deprecated(since = "1.0.0", note = "use watch")]
        fn old(&self) -> impl Stream<Item = u8>;

        /// Is compiled out.
        #[cfg(any())]
        fn gone(&self, missing: Inbound<Missing>) -> impl Stream<Item = Missing>;
    }

    /// Implements what has no body.
    #[derive(Debug)]
    pub struct Nothing;

    impl Feed for Nothing {
        fn watch(&self, cx: &Context, place: &str) -> impl Stream<Item = Result<Vec<u8>, RemoteError>> {
            stream::iter([Ok(place.into()), Err(RemoteError::new(cx.handler_id().to_string()))])
        }

        fn tail(&self, place: String, from: u64) -> impl Stream<Item = String> + Unpin {
            stream::iter([place, from.to_string()])
        }

        async fn list(&self, place: &str, books: Outbound<BTreeMap<String, Vec<u8>>>) -> Result<(), RemoteError> {
            Ok(books.send(BTreeMap::from([(place.to_owned(), Vec::new())])).await?)
        }

        async fn names(&self, _: Outbound<String>) {}

        async fn load(&self, _: Context, books: Inbound<Vec<u8>>) -> Result<u64, RemoteError> {
            Ok(self.count(books).await)
        }

        async fn count(&self, _: Inbound<Vec<u8>>) -> u64 {
            0
        }

        async fn swallow(&self, _: Inbound<Vec<u8>>) {}

        async fn sync(
            &self,
            _: Inbound<BTreeMap<String, Result<u64, String>>>,
            _: u64,
            _: Outbound<BTreeMap<String, Result<u64, String>>>,
        ) -> Result<(), Vec<BTreeMap<String, Option<u64>>>> {
            Ok(())
        }

        async fn copy(&self, _: Inbound<u8>, _: Outbound<u8>) {}

        fn echo(&self, _: Inbound<u8>) -> impl Stream<Item = u8> {
            stream::empty()
        }

        fn old(&self) -> impl Stream<Item = u8> {
            stream::empty()
        }
    }
}

/// A private service, of which only the server is used.
mod served {
    #[grid::service(id = 2)]
    trait Clock {
        async fn now(&self) -> u64;
        async fn set(&self, to: &Time) -> Result<(), Time>;
    }

    #[derive(Debug, serde::Serialize, serde::Deserialize)]
    struct Time {
        seconds: u64,
    }

    struct Fixed;

    impl Clock for Fixed {
        async fn now(&self) -> u64 {
            0
        }

        async fn set(&self, to: &Time) -> Result<(), Time> {
            Err(Time { seconds: to.seconds })
        }
    }

    #[test]
    fn a_private_service_needs_no_client() {
        let server = ClockServer::new(Fixed);
        assert!(format!("{server:?}").starts_with("ClockServer"));
    }
}

/// A service inside a crate, of which only the client is used, with all of it deprecated.
mod called {
    use grid::Describe;

    #[deprecated]
    #[grid::service(id = 3)]
    pub(super) trait Old {
        async fn get(&self) -> u64;
    }

    #[test]
    #[expect(deprecated, reason = "the client is deprecated with its trait")]
    fn a_service_of_a_crate_needs_no_server() {
        assert_eq!(OldClient::DESCRIPTION.name, "Old");
        assert_eq!(OldClient::GET.method(), 1);
    }
}

/// A service that nobody uses.
mod unused {
    #[grid::service(id = 4)]
    trait Nothing {}

    #[grid::service(id = 5)]
    trait Something {
        async fn something(&self, one: &str);
    }
}

/// A service inside a function, between its statements.
#[test]
fn services_may_be_anywhere_that_items_may_be() {
    #[grid::service(id = 6)]
    trait Local {
        async fn get(&self, key: Key) -> Key;
    }

    #[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
    struct Key(u8);

    struct Same;

    impl Local for Same {
        async fn get(&self, key: Key) -> Key {
            Key(key.0)
        }
    }

    let server = LocalServer::new(Same);
    drop(server);
}

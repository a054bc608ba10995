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

//! The `#[grid::service]` attribute of [grid]. Use it through that crate, which re-exports it.
//!
//! The way through the code: [`service`] calls `parse` (tokens to `model`), `validate` (how methods fit together) and
//! `expand` (`model` to tokens). All of them report misuses to one collector in `errors`, so that all misuses are shown
//! together, and what can be made from the rest is still emitted, so that editors keep completing.
//!
//! [grid]: https://docs.rs/grid-rpc

mod errors;
mod expand;
mod model;
mod parse;
mod render;
mod validate;

use proc_macro2::TokenStream;
use quote::quote;

use crate::errors::Errors;

/// Makes a service out of a trait: what one node implements and serves, any node can call.
///
/// ```
/// use grid::{Context, RemoteError};
///
/// /// A small key-value store.
/// #[grid::service(id = 7)]
/// pub trait Kv {
///     /// Reads a value.
///     async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, RemoteError>;
///
///     /// Writes a value. The context is not sent: it tells the handler who calls.
///     #[rpc(id = 9, timeout = "5s")]
///     async fn put(&self, cx: &Context, key: &str, value: &[u8]) -> Result<(), RemoteError>;
/// }
///
/// struct Store;
///
/// impl Kv for Store {
///     async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, RemoteError> {
///         Ok((key == "a").then(|| vec![1, 2, 3]))
///     }
///
///     async fn put(&self, cx: &Context, key: &str, value: &[u8]) -> Result<(), RemoteError> {
///         Err(RemoteError::new(format!("{} may not write {} bytes to {key}", cx.caller(), value.len())))
///     }
/// }
///
/// # async fn start(builder: grid::ManagerBuilder, connection: grid::Connection) {
/// let builder = builder.serve(KvServer::new(Store));
///
/// let kv = KvClient::new(connection);
/// let value = kv.get("a").await;
/// # }
/// ```
///
/// # What is made
///
/// For a trait `Kv`, all as visible as the trait:
///
/// - the trait, with `Send + Sync + 'static` added to its supertraits and with the future of each `async fn` and each
///   returned stream being `Send`, so that generic code can spawn them;
/// - `KvClient`, with a method for each of the trait: the same arguments without the context and the ends of streams,
///   and a `grid::Call` that starts when it is awaited. A method that does not return a `Result` cannot fail itself, and
///   its call has the error `Infallible`. `KvClient::GET` is the handler id of `get`;
/// - `KvServer<S>`, which serves an `S: Kv`, made from it or from an `Arc` of it;
/// - the description of the service as a constant, `grid::Describe::DESCRIPTION` of both.
///
/// A client has a constructor `new`, unless the service has a method of that name. `KvClient::from(connection)` is the
/// same.
///
/// # Settings of a service
///
/// | Setting | Meaning |
/// |---|---|
/// | `id = 7` | The number of the service, 0 to 254. Service 0 is the flat space of v1 peers. Required. |
/// | `codec = "compact"` | Structs are sent as arrays. With `"named"`, the default, they are maps by field name. |
/// | `crate = "path::to::grid"` | Where grid is, if not at `::grid`. |
///
/// # Settings of a method, in `#[rpc(..)]`
///
/// | Setting | Meaning |
/// |---|---|
/// | `id = 9` | The number of the method, 1 to 255. Otherwise its place among the methods, from 1, `cfg` or not. |
/// | `timeout = "5s"` | How long a call takes at most, if its caller does not say; a stream, to its end. |
/// | `detach` | The handler runs to its end, also when nobody waits for its answer any more. Not for streams. |
/// | `window = 64` | Of a stream, how many items may be on their way in each direction, 1 to 65536. |
/// | `in_window = 64` | The same for the items that come into the handler alone. |
/// | `out_window = 64` | The same for the items that go out of the handler alone. |
///
/// # Streams
///
/// What kind of call a method makes is seen from its signature:
///
/// | Method | `client.method(..).await?` |
/// |---|---|
/// | `async fn get(&self, ..) -> Result<T, E>` | `T` |
/// | `fn watch(&self, ..) -> impl Stream<Item = Result<O, E>>` | `Inbound<O, E>` |
/// | `async fn tail(&self, .., out: Outbound<O>) -> Result<(), E>` | `Inbound<O, E>` |
/// | `async fn load(&self, .., rows: Inbound<I>) -> Result<T, E>` | `(Outbound<I>, AnswerFuture<T, E>)` |
/// | `async fn sync(&self, .., ops: Inbound<I>, acks: Outbound<O>) -> Result<(), E>` | `(Outbound<I>, Inbound<O, E>)` |
/// | `fn echo(&self, .., ops: Inbound<I>) -> impl Stream<Item = Result<O, E>>` | `(Outbound<I>, Inbound<O, E>)` |
///
/// ```
/// use futures_util::{Stream, StreamExt, stream};
/// use grid::{CallError, Connection, Inbound, Outbound, RemoteError};
///
/// #[grid::service(id = 8)]
/// pub trait Log {
///     /// The lines that there are.
///     #[rpc(window = 256)]
///     fn read(&self, prefix: &str) -> impl Stream<Item = Result<String, RemoteError>>;
///
///     /// Adds lines, and answers how many.
///     async fn append(&self, lines: Inbound<String>) -> Result<u64, RemoteError>;
///
///     /// Answers each line with its length.
///     async fn measure(&self, lines: Inbound<String>, lengths: Outbound<usize>) -> Result<(), RemoteError>;
/// }
///
/// struct Lines(Vec<String>);
///
/// impl Log for Lines {
///     fn read(&self, prefix: &str) -> impl Stream<Item = Result<String, RemoteError>> {
///         stream::iter(self.0.iter().filter(move |line| line.starts_with(prefix)).cloned().map(Ok))
///     }
///
///     async fn append(&self, lines: Inbound<String>) -> Result<u64, RemoteError> {
///         Ok(lines.count().await as u64)
///     }
///
///     async fn measure(&self, mut lines: Inbound<String>, lengths: Outbound<usize>) -> Result<(), RemoteError> {
///         while let Some(line) = lines.next().await {
///             lengths.send(line?.len()).await?;
///         }
///         Ok(())
///     }
/// }
///
/// # async fn call(connection: Connection) -> Result<(), Box<dyn std::error::Error>> {
/// let log = LogClient::new(connection);
///
/// let mut lines = log.read("warn").await?;
/// while let Some(line) = lines.next().await {
///     println!("{}", line?);
/// }
///
/// let (lines, count) = log.append().await?;
/// if lines.send("one".to_owned()).await.is_ok() {
///     lines.finish().await.ok();
/// }
/// // Also when the handler has ended early: then sending fails, and this tells why.
/// assert_eq!(count.await?, 1);
/// # Ok(())
/// # }
/// ```
///
/// `Inbound`, `Outbound` and `Stream` are known by the last segment of their path, as `Context` is. The handler takes
/// the first two by value, in any place among its arguments, at most one of each. They are not sent: the other arguments
/// are the request that opens the stream.
///
/// The error of a method stands in what it returns, not in its `Inbound`. A returned stream ends with its first error,
/// which reaches the caller behind the items before it; what it would have had after that is not sent. It may borrow
/// from `&self` and from the arguments.
///
/// Items are owned types, as answers are, and `Send`. A side may send as many as the window says before the other has
/// taken the first of them; a method that does not say has `grid::Windows::DEFAULT`. Towards a v1 peer both sides must
/// have the same windows.
///
/// The handler of a stream is dropped when its call ends, for whatever reason.
///
/// # Arguments
///
/// One argument is sent as itself, several as a map by their names, and none as nothing. Any type with
/// `#[derive(serde::Serialize, serde::Deserialize)]` will do, but for what msgpack and serde do not tell apart: byte
/// vectors within what serde must hold back to know its type (`#[serde(tag)]` without content, `untagged`, `flatten`),
/// and a borrowed `&[u8]` in a struct that may be empty, need `#[serde(with = "serde_bytes")]`; `codec = "compact"` has
/// no names, so it takes no `skip_serializing_if` and no `untagged` structs. A type may borrow: `&str`, `&[u8]` and types made of such
/// are read where they lie in the received bytes; for any other `&T` and `&[T]` a `T` or `Vec<T>` is made and lent.
///
/// An argument may be added to a method that has several, and old callers still call it, if it is an `Option` or has
/// `#[serde(default)]`; with `codec = "compact"` it must be the last one, too. An argument of type `Context` or
/// `&Context` is not sent: it is the context of the call.
///
/// # Answers
///
/// An answer is an owned type; of a `Result<T, E>`, with both types written, `E` is sent whole to the caller. An alias of
/// `Result` by another name is not seen to be one, and its error is then part of the answer.
///
/// # Attributes
///
/// `#[cfg]` on a method removes it everywhere, docs and `#[deprecated]` are also those of the client's method, and lints
/// that are allowed or expected on the trait or on a method are allowed in what is made from it. Methods may have bodies.
///
/// # Errors
///
/// Each misuse is an error of the compiler at what is wrong, which says what to write instead.
///
/// # Limits
///
/// A service has at most 255 methods, a method at most 12 arguments that are sent. Services and methods cannot be
/// generic. A method has at most one stream in each direction.
#[proc_macro_attribute]
pub fn service(attribute: proc_macro::TokenStream, item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    expand(attribute.into(), item.into()).into()
}

/// The whole way of the macro.
fn expand(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::new();
    let expanded = match parse::parse(attribute, item.clone(), &mut errors) {
        None => item,
        Some(parse::Parsed { item, service: None }) => expand::expand_trait(item),
        Some(parse::Parsed { item, service: Some(mut service) }) => {
            validate::validate(&mut service, &mut errors);
            expand::expand(item, &service)
        }
    };
    let errors = errors.finish();
    quote!(#expanded #errors)
}

#[cfg(test)]
mod tests {
    use proc_macro2::TokenStream;
    use quote::{format_ident, quote};

    /// The items that a trait becomes, and the misuses found in it.
    fn expanded(attribute: TokenStream, item: TokenStream) -> (Vec<String>, Vec<String>) {
        let file: syn::File = syn::parse2(super::expand(attribute, item)).expect("what is emitted is Rust");
        let (mut items, mut misuses) = (Vec::new(), Vec::new());
        for item in file.items {
            match item {
                syn::Item::Macro(item) => misuses.push(item.mac.tokens.to_string()),
                syn::Item::Trait(item) => items.push(format!("trait {}", item.ident)),
                syn::Item::Struct(item) => items.push(format!("struct {}", item.ident)),
                _ => {}
            }
        }
        (items, misuses)
    }

    #[test]
    fn a_service_becomes_a_trait_a_client_and_a_server() {
        let item = quote!(
            pub trait Kv {
                async fn get(&self, key: &str) -> u64;
            }
        );
        let (items, misuses) = expanded(quote!(id = 7), item);
        assert_eq!(items, ["trait Kv", "struct KvClient", "struct KvServer"]);
        assert!(misuses.is_empty());
    }

    #[test]
    fn all_three_are_made_of_what_is_right_in_a_trait_with_misuses() {
        let item = quote!(
            trait Kv {
                const LIMIT: u64;
                fn put(&self);
                async fn get(&mut self) -> &str;
                async fn fine(&self);
            }
        );
        let (items, misuses) = expanded(quote!(id = 256), item);
        assert_eq!(items, ["trait Kv", "struct KvClient", "struct KvServer"]);
        assert_eq!(misuses.len(), 5, "{misuses:?}");
    }

    #[test]
    fn a_generic_trait_stays_a_trait() {
        let (items, misuses) = expanded(
            quote!(id = 7),
            quote!(
                trait Kv<K> {}
            ),
        );
        assert_eq!((items.as_slice(), misuses.len()), (&["trait Kv".to_owned()][..], 1));
    }

    #[test]
    fn a_service_has_at_most_255_methods() {
        let methods = |count: usize| {
            let names = (0..count).map(|place| format_ident!("method_{place}"));
            quote!(trait Kv { #(async fn #names(&self);)* })
        };
        assert!(expanded(quote!(id = 7), methods(255)).1.is_empty());
        let (_, misuses) = expanded(quote!(id = 7), methods(257));
        assert_eq!(misuses.len(), 2);
        assert!(misuses.iter().all(|misuse| misuse.contains("at most 255 methods")), "{misuses:?}");
    }
}

//! No name of the user's collides with a generated one, nor shadows what generated code means.

use grid::{Context, Describe, HandlerId};

use super::serving;

/// Methods called as what is generated, or what generated code calls.
#[grid::service(id = 1)]
#[allow(clippy::wrong_self_convention, reason = "the names are the point")]
trait Methods {
    async fn new(&self, a: u8) -> u8;
    async fn clone(&self, a: u8) -> u8;
    async fn call(&self, a: u8) -> u8;
    async fn connection(&self, a: u8) -> u8;
    async fn serve(&self, a: u8) -> u8;
    async fn handle(&self, a: u8) -> u8;
    async fn description(&self, a: u8) -> u8;
    async fn r#type(&self, a: u8) -> u8;
    async fn self_(&self, a: u8) -> u8;
    async fn from(&self, a: u8) -> u8;
    async fn drop(&self, a: u8) -> u8;
    async fn fmt(&self, a: u8) -> u8;
    async fn received(&self, a: u8) -> u8;
    async fn sent(&self, a: u8) -> u8;
    async fn call_infallible(&self, a: u8) -> u8;
    async fn poll(&self, a: u8) -> u8;
}

struct Numbers;

macro_rules! numbers {
    ($($method:ident $number:literal),*) => {
        impl Methods for Numbers {
            $(async fn $method(&self, a: u8) -> u8 { a + $number })*
        }

        #[tokio::test]
        async fn methods_may_have_any_name() {
            let (connection, _nodes) = serving(MethodsServer::new(Numbers)).await;
            let client: MethodsClient = connection.into();
            $(assert_eq!(client.$method(100).await, Ok(100 + $number), stringify!($method));)*
        }
    };
}

numbers!(
    new 1, clone 2, call 3, connection 4, serve 5, handle 6, description 7, r#type 8, self_ 9, from 10, drop 11,
    fmt 12, received 13, sent 14, call_infallible 15, poll 16
);

#[test]
fn constants_are_the_methods_in_upper_case() {
    assert_eq!(MethodsClient::NEW, HandlerId::new(1, 1));
    assert_eq!(MethodsClient::TYPE, HandlerId::new(1, 8));
    assert_eq!(MethodsClient::SELF_, HandlerId::new(1, 9));
    assert_eq!(MethodsClient::DESCRIPTION, HandlerId::new(1, 7));
    let names: Vec<&str> = <MethodsClient as Describe>::DESCRIPTION.methods.iter().map(|method| method.name).collect();
    assert_eq!(&names[6..9], ["description", "type", "self_"]);
}

/// Arguments called as the locals, parameters and functions of generated code.
#[grid::service(id = 2)]
#[allow(clippy::too_many_arguments, reason = "as many as there may be")]
trait Arguments {
    async fn one(&self, request: String) -> String;
    async fn context(&self, request: &Context, context: String) -> String;
    async fn first(
        &self,
        cx: String,
        ctx: String,
        req: String,
        request: String,
        params: String,
        pending: String,
        reply: String,
        reply_tx: String,
        self_: String,
        r#type: String,
        service: String,
        method: String,
    ) -> String;
    async fn second(
        &self,
        connection: &str,
        argument_0: &str,
        argument_1: &str,
        call: &str,
        client: &str,
        server: &str,
        f: &str,
        wire: &str,
        arguments: &str,
        _unused: &str,
        grid: &str,
        core: &str,
    ) -> String {
        [connection, argument_0, argument_1, call, client, server, f, wire, arguments, grid, core].concat()
    }
}

struct Concat;

impl Arguments for Concat {
    async fn one(&self, request: String) -> String {
        request
    }

    async fn context(&self, request: &Context, context: String) -> String {
        format!("{context} by {}", request.handler_id())
    }

    async fn first(
        &self,
        cx: String,
        ctx: String,
        req: String,
        request: String,
        params: String,
        pending: String,
        reply: String,
        reply_tx: String,
        self_: String,
        r#type: String,
        service: String,
        method: String,
    ) -> String {
        [cx, ctx, req, request, params, pending, reply, reply_tx, self_, r#type, service, method].concat()
    }
}

#[tokio::test]
async fn arguments_may_have_any_name() {
    let (connection, _nodes) = serving(ArgumentsServer::new(Concat)).await;
    let client = ArgumentsClient::new(connection);
    assert_eq!(client.one("x".into()).await.as_deref(), Ok("x"));
    assert_eq!(client.context("x".into()).await.as_deref(), Ok("x by 2.2"));
    let s = str::to_owned;
    let call =
        client.first(s("a"), s("b"), s("c"), s("d"), s("e"), s("f"), s("g"), s("h"), s("i"), s("j"), s("k"), s("l"));
    assert_eq!(call.await.as_deref(), Ok("abcdefghijkl"));
    let call = client.second("a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l");
    assert_eq!(call.await.as_deref(), Ok("abcdefghikl"));
}

#[test]
fn raw_argument_names_are_sent_without_the_mark() {
    let first = <ArgumentsClient as Describe>::DESCRIPTION.methods[2];
    assert_eq!(first.arguments[9].name, "type");
}

/// A module where nothing means what it means elsewhere.
#[allow(dead_code, non_camel_case_types, reason = "to be in the way")]
mod shadowed {
    pub(super) mod core {}
    pub(super) mod std {}
    pub(super) mod serde {}
    pub(super) struct Box;
    pub(super) struct Vec;
    pub(super) struct Arc;
    pub(super) struct Pin;
    pub(super) struct Some;
    pub(super) struct None;
    pub(super) struct Ok;
    pub(super) struct Err;
    pub(super) struct Infallible;
    pub(super) struct Duration;
    pub(super) struct Call;
    pub(super) struct Clone;
    pub(super) struct Debug;
    pub(super) struct From;
    pub(super) trait Send {}
    pub(super) trait Sync {}
    pub(super) trait Future {}
    pub(super) trait Service {}
    pub(super) trait Describe {}
    pub(super) enum Option {}
    pub(super) type Result<T> = ::core::result::Result<T, ()>;

    #[grid::service(id = 3)]
    pub(super) trait Shadowed {
        #[rpc(timeout = "5s")]
        async fn get(&self, key: &str, #[serde(default)] times: u32) -> ::core::result::Result<(), grid::RemoteError>;
        async fn len(&self) -> u64 {
            5
        }
    }

    pub(super) struct Served;

    impl Shadowed for Served {
        async fn get(&self, key: &str, times: u32) -> ::core::result::Result<(), grid::RemoteError> {
            ::core::result::Result::Err(grid::RemoteError::new(key.repeat(times as usize)))
        }
    }
}

#[tokio::test]
async fn generated_code_means_what_it_says_wherever_it_stands() {
    let (connection, _nodes) = serving(shadowed::ShadowedServer::new(shadowed::Served)).await;
    let client = shadowed::ShadowedClient::new(connection);
    assert_eq!(client.get("ab", 2).await, Err(grid::CallError::Remote(grid::RemoteError::new("abab"))));
    assert_eq!(client.len().await, Ok(5));
}

/// Types called as the type parameters of generated code.
mod types {
    #[derive(Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
    pub(super) struct S(pub(super) u8);
    pub(super) type T = S;
    pub(super) type E = S;
    pub(super) type Service = S;
    pub(super) type Wire = S;
    pub(super) type Request = S;

    #[grid::service(id = 4)]
    pub(super) trait Typed {
        async fn get(&self, a: &S, b: T, #[serde(default)] c: &[E], d: Wire) -> Result<Service, Request>;
    }

    impl Typed for S {
        async fn get(&self, a: &S, b: T, c: &[E], d: Wire) -> Result<Service, Request> {
            Ok(S(self.0 + a.0 + b.0 + c.len() as u8 + d.0))
        }
    }
}

#[tokio::test]
async fn types_may_have_the_names_of_type_parameters() {
    use types::S;

    let (connection, _nodes) = serving(types::TypedServer::new(S(1))).await;
    assert_eq!(types::TypedClient::new(connection).get(&S(2), S(3), &[S(0)], S(4)).await, Ok(S(11)));
}

//! Services in any place, of any visibility, made by macros, and with grid under another path.

use std::fmt::Debug;

use grid::Describe;

use super::serving;

/// A service that everybody could see, of types that are less visible.
#[allow(unreachable_pub, reason = "what is generated is as public as the trait")]
mod inner {
    pub mod deep {
        #[derive(Debug, serde::Serialize, serde::Deserialize)]
        pub(in super::super) struct Key(pub(in super::super) u8);

        #[grid::service(id = 1)]
        pub(in super::super) trait Deep {
            async fn get(&self, key: Key) -> Key;
        }
    }

    #[grid::service(id = 2)]
    pub trait Open {
        async fn get(&self) -> u8;
    }
}

struct Both;

impl inner::deep::Deep for Both {
    async fn get(&self, key: inner::deep::Key) -> inner::deep::Key {
        inner::deep::Key(key.0 + 1)
    }
}

impl inner::Open for Both {
    async fn get(&self) -> u8 {
        2
    }
}

#[tokio::test]
async fn what_is_generated_is_as_visible_as_the_trait() {
    let (connection, _nodes) = serving(inner::deep::DeepServer::new(Both)).await;
    let client = inner::deep::DeepClient::new(connection);
    assert_eq!(client.get(inner::deep::Key(1)).await.expect("served").0, 2);
    let _public: grid::HandlerId = inner::OpenClient::GET;
}

/// Grid by a path of the user's.
mod net {
    pub(super) use ::grid as rpc;
}

#[net::rpc::service(id = 3, crate = "crate::places::net::rpc")]
trait Elsewhere {
    #[rpc(timeout = "1s")]
    async fn get(&self, key: &str, #[serde(default)] times: usize) -> Result<String, net::rpc::RemoteError> {
        Ok(key.repeat(times))
    }
}

impl Elsewhere for Both {}

#[tokio::test]
async fn grid_may_have_another_path() {
    let (connection, _nodes) = serving(ElsewhereServer::new(Both)).await;
    assert_eq!(ElsewhereClient::new(connection).get("ab", 2).await.as_deref(), Ok("abab"));
}

macro_rules! make_service {
    ($vis:vis $name:ident, $id:literal, $method:ident($argument:ident: $ty:ty $(, $more:ident: $more_ty:ty)*) -> $answer:ty) => {
        #[grid::service(id = $id)]
        $vis trait $name {
            async fn $method(&self, $argument: $ty $(, $more: $more_ty)*) -> $answer;

            /// Its names are of the macro.
            async fn hygienic(&self, argument: u8, other: &$ty) -> u8 {
                argument + u8::from(other == other)
            }
        }
    };
}

make_service!(Made, 4, made(one: u8, two: &str, three: &[u32]) -> Result<String, grid::RemoteError>);
make_service!(pub(crate) MadeToo, 5, made(one: Vec<u8>) -> Vec<u8>);

impl Made for Both {
    async fn made(&self, one: u8, two: &str, three: &[u32]) -> Result<String, grid::RemoteError> {
        Ok(format!("{one} {two} {three:?}"))
    }
}

impl MadeToo for Both {
    async fn made(&self, one: Vec<u8>) -> Vec<u8> {
        one
    }
}

#[tokio::test]
async fn services_may_be_made_by_macros() {
    let (connection, _nodes) = serving(MadeServer::new(Both)).await;
    let client = MadeClient::new(connection);
    assert_eq!(client.made(1, "2", &[3]).await.as_deref(), Ok("1 2 [3]"));
    assert_eq!(client.hygienic(1, &0).await, Ok(2));
    let (connection, _nodes) = serving(MadeTooServer::new(Both)).await;
    assert_eq!(MadeTooClient::new(connection).made(vec![1]).await, Ok(vec![1]));
    let error = MadeClient::DESCRIPTION.methods[0].error;
    assert_eq!(error, Some("grid::RemoteError"));
}

#[grid::service(id = 6)]
trait Bounded: Debug + Send + 'static {
    async fn show(&self) -> String {
        format!("{self:?}")
    }
}

impl Bounded for u8 {}

#[tokio::test]
async fn a_service_may_have_supertraits() {
    let (connection, _nodes) = serving(BoundedServer::new(7)).await;
    assert_eq!(BoundedClient::new(connection).show().await.as_deref(), Ok("7"));
}

#[grid::service(id = 7)]
trait Empty {}

impl Empty for () {}

#[test]
fn clients_and_servers_are_cheap_handles() {
    struct NotClone;
    impl Empty for NotClone {}
    fn handle<T: Clone + Debug + Send + Sync + 'static>(_: &T) {}

    let server = EmptyServer::new(NotClone);
    handle(&server);
    assert_eq!(format!("{:?}", server.clone()), "EmptyServer { .. }");
    fn client<T: Clone + Debug + Send + Sync + From<grid::Connection> + 'static>() {}
    client::<EmptyClient>();
    assert!(EmptyServer::<()>::from(std::sync::Arc::new(())).clone().eq_description());
}

trait EqDescription: Describe {
    fn eq_description(&self) -> bool {
        Self::DESCRIPTION == EmptyClient::DESCRIPTION
    }
}

impl EqDescription for EmptyServer<()> {}

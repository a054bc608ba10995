//! All of them are reported together, each once, and the rest is as it should be.

use futures_util::stream::{self, BoxStream};
use grid::{Connection, Inbound, Outbound, Stream};

#[grid::service(id = 7)]
pub trait Kv {
    #[rpc(detach, in_window = 3, window = 0)]
    async fn watch(&self, prefix: &'static str, rows: &mut Inbound<&str>) -> BoxStream<'static, u64>;

    async fn load(&self, rows: Inbound<Vec<Outbound<u64>>>, more: Inbound<u8>) -> &str;

    fn good(&self, rows: Inbound<u64>) -> impl Stream<Item = u64>;

    async fn list(&self, #[serde(default)] out: Outbound<u64>) -> Result<u64, u64>;

    #[rpc(window = 1)]
    fn put(&self, key: &str);
}

struct Store;

impl Kv for Store {
    async fn watch(&self, _: &'static str, _: &mut Inbound<&str>) -> BoxStream<'static, u64> {
        Box::pin(stream::empty())
    }

    async fn load(&self, _: Inbound<Vec<Outbound<u64>>>, _: Inbound<u8>) -> &str {
        ""
    }

    fn good(&self, rows: Inbound<u64>) -> impl Stream<Item = u64> {
        stream::iter([format!("{rows:?}").len() as u64])
    }

    async fn list(&self, _: Outbound<u64>) -> Result<u64, u64> {
        Ok(7)
    }

    fn put(&self, _: &str) {}
}

async fn call(connection: Connection) {
    let Ok((_rows, mut items)) = KvClient::new(connection).good().await else { return };
    let _item = items.next().await;
}

fn main() {
    let _server = KvServer::new(Store);
    let _ = call;
}

//! The method with a misuse is missing from the client alone: nothing else is reported.

use std::sync::Arc;

use grid::Connection;

#[grid::service(id = 7)]
pub trait Kv {
    async fn get(&self, key: &str) -> u64;

    #[rpc(id = 0)]
    async fn put(&self, key: &str, #[serde(default)] value: &[u8]) -> Result<(), u64>;

    async fn len(&self) -> u64 {
        7
    }
}

struct Store;

impl Kv for Store {
    async fn get(&self, key: &str) -> u64 {
        key.len() as u64
    }

    async fn put(&self, key: &str, value: &[u8]) -> Result<(), u64> {
        Err((key.len() + value.len()) as u64)
    }
}

async fn call(connection: Connection) -> u64 {
    let client = KvClient::new(connection);
    client.get("a").await.unwrap_or(0) + client.len().await.unwrap_or(0)
}

fn main() {
    let _server = KvServer::from(Arc::new(Store));
    let _ = call;
}

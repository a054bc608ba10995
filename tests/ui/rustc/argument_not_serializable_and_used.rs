//! The use of the method is no second error.

pub struct Row;

#[grid::service(id = 7)]
pub trait Kv {
    async fn put(&self, key: &str, row: Row) -> Result<u64, u64>;
}

struct Store;

impl Kv for Store {
    async fn put(&self, key: &str, _row: Row) -> Result<u64, u64> {
        Ok(key.len() as u64)
    }
}

async fn call(connection: grid::Connection) -> bool {
    KvClient::new(connection).put("a", Row).await.is_ok()
}

fn main() {
    let _builder = grid::Manager::builder("http://localhost:9000").serve(KvServer::new(Store));
    let _ = call;
}

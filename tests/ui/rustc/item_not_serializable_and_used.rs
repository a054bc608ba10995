//! The use of the methods is no second error, and each type is an error where it stands.

use futures_util::stream;
use grid::{Connection, Inbound, Outbound, Stream};

pub struct Row;
pub struct Op;
pub struct Ack;
pub struct Oops;

#[grid::service(id = 7)]
pub trait Kv {
    fn watch(&self, prefix: &str, rows: Inbound<u64>) -> impl Stream<Item = Row>;
    async fn sync(&self, ops: Inbound<Op>, acks: Outbound<Ack>) -> Result<(), Oops>;
}

struct Store;

impl Kv for Store {
    fn watch(&self, prefix: &str, _rows: Inbound<u64>) -> impl Stream<Item = Row> {
        stream::iter(prefix.bytes().map(|_| Row))
    }

    async fn sync(&self, mut ops: Inbound<Op>, acks: Outbound<Ack>) -> Result<(), Oops> {
        while let Some(Ok(Op)) = ops.next().await {
            acks.send(Ack).await.map_err(|_| Oops)?;
        }
        Ok(())
    }
}

async fn call(connection: Connection) -> Option<Row> {
    let client = KvClient::new(connection);
    let (ops, _acks) = client.sync().await.ok()?;
    ops.send(Op).await.ok()?;
    client.watch("a").await.ok()?.1.next().await?.ok()
}

fn main() {
    let _builder = grid::Manager::builder("http://localhost:9000").serve(KvServer::new(Store));
    let _ = call;
}

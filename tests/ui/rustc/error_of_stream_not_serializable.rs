use grid::{Inbound, Outbound, Stream};

pub struct Row;

#[grid::service(id = 7)]
pub trait Kv {
    fn watch(&self) -> impl Stream<Item = Result<u64, Row>>;

    async fn sync(&self, rows: Inbound<u64>, out: Outbound<u64>) -> Result<(), Row>;
}

fn main() {}

use grid::{Inbound, Outbound, Stream};

#[grid::service(id = 7)]
pub trait Kv {
    async fn load(&self, rows: Inbound<Inbound<u64>>) -> u64;

    fn watch(&self) -> impl Stream<Item = Vec<Outbound<u64>>>;
}

fn main() {}

use grid::{Inbound, Stream};

#[grid::service(id = 7)]
pub trait Kv {
    #[rpc(detach)]
    async fn load(&self, rows: Inbound<u64>) -> u64;

    #[rpc(detach)]
    fn watch(&self) -> impl Stream<Item = u64>;
}

fn main() {}

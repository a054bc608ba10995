use grid::{Inbound, Stream};

#[grid::service(id = 7)]
pub trait Kv {
    #[rpc(window = 64, in_window = 32)]
    async fn load(&self, rows: Inbound<u64>) -> u64;

    #[rpc(out_window = 32, window = 64)]
    fn watch(&self, rows: Inbound<u64>) -> impl Stream<Item = u64>;
}

fn main() {}

use grid::{Outbound, Stream};

#[grid::service(id = 7)]
pub trait Kv {
    fn list(&self, rows: Outbound<u64>) -> impl Stream<Item = u64>;
}

fn main() {}

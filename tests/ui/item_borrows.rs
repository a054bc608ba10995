use grid::{Inbound, Stream};

#[grid::service(id = 7)]
pub trait Kv {
    async fn load(&self, rows: Inbound<&str>) -> u64;

    fn watch(&self) -> impl Stream<Item = Result<&str, u64>>;
}

fn main() {}

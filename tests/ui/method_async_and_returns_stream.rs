#[grid::service(id = 7)]
pub trait Kv {
    async fn watch(&self) -> impl futures_util::Stream<Item = u64>;
}

fn main() {}

use grid::Stream;

#[grid::service(id = 7)]
pub trait Kv {
    async fn watch(&self) -> impl Stream<Item = u64>;
}

fn main() {}

use grid::Stream;

#[grid::service(id = 7)]
pub trait Kv {
    async fn watch(&self) -> Option<impl Stream<Item = u64>>;
}

fn main() {}

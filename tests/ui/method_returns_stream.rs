#[grid::service(id = 7)]
pub trait Kv {
    fn watch(&self, prefix: &str) -> impl futures_util::Stream<Item = u64>;
}

fn main() {}

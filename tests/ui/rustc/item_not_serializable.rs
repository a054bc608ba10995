use grid::Stream;

pub struct Row;

#[grid::service(id = 7)]
pub trait Kv {
    fn watch(&self, prefix: &str) -> impl Stream<Item = Result<Row, u64>>;
}

fn main() {}

pub struct Row;

#[grid::service(id = 7)]
pub trait Kv {
    async fn put(&self, key: &str, row: Option<Row>) -> u64;
}

fn main() {}

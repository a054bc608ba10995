pub struct Row;

#[grid::service(id = 7)]
pub trait Kv {
    async fn get(&self, key: &str) -> Result<Vec<Row>, u64>;
}

fn main() {}

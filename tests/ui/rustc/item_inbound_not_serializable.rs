use grid::Inbound;

pub struct Row;

#[grid::service(id = 7)]
pub trait Kv {
    async fn load(&self, table: &str, rows: Inbound<Vec<Row>>) -> u64;
}

fn main() {}

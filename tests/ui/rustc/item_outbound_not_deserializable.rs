use grid::Outbound;

#[derive(serde::Serialize)]
pub struct Row;

#[grid::service(id = 7)]
pub trait Kv {
    async fn list(&self, rows: Outbound<Row>) -> Result<(), u64>;
}

fn main() {}

use grid::Inbound;

pub struct Row;

#[grid::service(id = 7)]
pub trait Kv {
    async fn load(&self, rows: Inbound<u64>) -> Row;
}

fn main() {}

use grid::{Inbound, Outbound};

#[grid::service(id = 7)]
pub trait Kv {
    async fn load(&self, rows: Vec<Inbound<u64>>) -> u64;

    async fn list(&self, rows: Option<Outbound<u64>>);
}

fn main() {}

use grid::{Inbound, Outbound};

#[grid::service(id = 7)]
pub trait Kv {
    fn load(&self, rows: Inbound<u64>) -> u64;

    fn list(&self, rows: Outbound<u64>);
}

fn main() {}

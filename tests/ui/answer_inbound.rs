use grid::{Inbound, Outbound};

#[grid::service(id = 7)]
pub trait Kv {
    async fn list(&self) -> Inbound<u64>;

    async fn load(&self) -> Result<Option<Outbound<u64>>, String>;
}

fn main() {}

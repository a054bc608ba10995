use grid::Inbound;

#[grid::service(id = 7)]
pub trait Kv {
    async fn load(&self, rows: Inbound<u64>, keys: Inbound<String>) -> u64;
}

fn main() {}

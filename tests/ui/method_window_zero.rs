use grid::Inbound;

#[grid::service(id = 7)]
pub trait Kv {
    #[rpc(window = 0)]
    async fn load(&self, rows: Inbound<u64>) -> u64;
}

fn main() {}

use grid::Inbound;

#[grid::service(id = 7)]
pub trait Kv {
    #[rpc(out_window = 64)]
    async fn load(&self, rows: Inbound<u64>) -> u64;

    #[rpc(out_window = 64)]
    async fn get(&self, key: String) -> u64;
}

fn main() {}

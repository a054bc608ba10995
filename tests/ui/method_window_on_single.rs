#[grid::service(id = 7)]
pub trait Kv {
    #[rpc(window = 64)]
    async fn get(&self, key: String) -> u64;
}

fn main() {}

#[grid::service(id = 7)]
pub trait Kv {
    #[rpc(retries = 3)]
    async fn get(&self, key: String) -> u64;
}

fn main() {}

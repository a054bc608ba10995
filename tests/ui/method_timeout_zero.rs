#[grid::service(id = 7)]
pub trait Kv {
    #[rpc(timeout = "0s")]
    async fn get(&self, key: String) -> u64;
}

fn main() {}

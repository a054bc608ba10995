#[grid::service(id = 7)]
pub trait Kv {
    #[rpc(timeout = "5s", timeout = "6s")]
    async fn get(&self, key: String) -> u64;
}

fn main() {}

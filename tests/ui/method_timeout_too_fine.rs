#[grid::service(id = 7)]
pub trait Kv {
    #[rpc(timeout = "500us")]
    async fn get(&self, key: String) -> u64;
}

fn main() {}

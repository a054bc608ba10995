#[grid::service(id = 7)]
pub trait Kv {
    #[rpc(timeout = "5 parsecs")]
    async fn get(&self, key: String) -> u64;
}

fn main() {}

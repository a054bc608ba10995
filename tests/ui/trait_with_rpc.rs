#[grid::service(id = 7)]
#[rpc(timeout = "5s")]
pub trait Kv {
    async fn get(&self, key: String) -> u64;
}

fn main() {}

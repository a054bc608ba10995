#[grid::service(id = 7)]
pub trait Kv {
    #[rpc(timeout = "1year")]
    async fn get(&self, key: String) -> u64;
}

fn main() {}

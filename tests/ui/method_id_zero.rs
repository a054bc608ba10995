#[grid::service(id = 7)]
pub trait Kv {
    #[rpc(id = 0)]
    async fn get(&self, key: String) -> u64;
}

fn main() {}

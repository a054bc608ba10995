#[grid::service(id = 7)]
pub trait Kv {
    #[rpc(id = 2)]
    async fn get(&self, key: String) -> u64;

    async fn put(&self, key: String) -> u64;
}

fn main() {}

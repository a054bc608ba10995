#[grid::service(id = 7)]
pub trait Kv {
    #[rpc(id = 9)]
    async fn get(&self, key: String) -> u64;

    #[rpc(timeout = "5s", id = 9)]
    async fn put(&self, key: String) -> u64;
}

fn main() {}

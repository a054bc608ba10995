#[grid::service(id = 7)]
pub trait Kv {
    #[rpc(id = 7)]
    #[rpc(detach)]
    async fn get(&self, key: String) -> u64;
}

fn main() {}

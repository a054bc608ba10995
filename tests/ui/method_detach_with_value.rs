#[grid::service(id = 7)]
pub trait Kv {
    #[rpc(detach = true)]
    async fn get(&self, key: String) -> u64;
}

fn main() {}

#[grid::service(id = 7)]
pub trait Kv {
    #[rpc = 7]
    async fn get(&self, key: String) -> u64;
}

fn main() {}

#[grid::service(id = 7)]
pub trait Kv {
    #[rpc(id = 256)]
    async fn get(&self, key: String) -> u64;
}

fn main() {}

#[grid::service(id = 7)]
pub trait Kv {
    async fn get(&self, #[rpc(id = 7)] key: String) -> u64;
}

fn main() {}

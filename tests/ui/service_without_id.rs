#[grid::service]
pub trait Kv {
    async fn get(&self, key: String) -> u64;
}

fn main() {}

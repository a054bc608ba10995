#[grid::service(id = -1)]
pub trait Kv {
    async fn get(&self, key: String) -> u64;
}

fn main() {}

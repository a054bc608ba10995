#[grid::service(id = 7)]
pub trait Kv {
    async fn get(&self, keys: Vec<_>) -> u64;
}

fn main() {}

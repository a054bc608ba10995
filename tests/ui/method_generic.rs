#[grid::service(id = 7)]
pub trait Kv {
    async fn get<K: Send>(&self, key: K) -> u64;
}

fn main() {}

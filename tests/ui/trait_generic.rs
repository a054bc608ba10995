#[grid::service(id = 7)]
pub trait Kv<K: Send> {
    async fn get(&self, key: K) -> u64;
}

fn main() {}

#[grid::service(7)]
pub trait Kv {
    async fn get(&self, key: String) -> u64;
}

fn main() {}

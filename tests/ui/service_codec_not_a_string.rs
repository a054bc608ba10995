#[grid::service(id = 7, codec = compact)]
pub trait Kv {
    async fn get(&self, key: String) -> u64;
}

fn main() {}

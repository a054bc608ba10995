#[grid::service(id = 7, name = "kv")]
pub trait Kv {
    async fn get(&self, key: String) -> u64;
}

fn main() {}

#[grid::service(id = 7, id = 8)]
pub trait Kv {
    async fn get(&self, key: String) -> u64;
}

fn main() {}

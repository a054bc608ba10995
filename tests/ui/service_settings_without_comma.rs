#[grid::service(id = 7 codec = "named")]
pub trait Kv {
    async fn get(&self, key: String) -> u64;
}

fn main() {}

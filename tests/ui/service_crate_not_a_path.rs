#[grid::service(id = 7, crate = "my grid")]
pub trait Kv {
    async fn get(&self, key: String) -> u64;
}

fn main() {}

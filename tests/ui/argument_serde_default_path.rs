#[grid::service(id = 7)]
pub trait Kv {
    async fn get(&self, key: String, #[serde(default = "seven")] number: u64) -> u64;
}

fn main() {}

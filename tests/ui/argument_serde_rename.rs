#[grid::service(id = 7)]
pub trait Kv {
    async fn get(&self, key: String, #[serde(rename = "n")] number: u64) -> u64;
}

fn main() {}

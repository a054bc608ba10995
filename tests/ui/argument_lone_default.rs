#[grid::service(id = 7)]
pub trait Kv {
    async fn get(&self, cx: &grid::Context, #[serde(default)] key: String) -> u64;
}

fn main() {}

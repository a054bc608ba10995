#[grid::service(id = 7)]
pub trait Kv {
    async fn get(&self, #[serde(default)] cx: &grid::Context, key: String) -> u64;
}

fn main() {}

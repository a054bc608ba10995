#[derive(serde::Serialize, serde::Deserialize)]
pub enum Mode {
    Fast,
}

#[grid::service(id = 7)]
pub trait Kv {
    async fn get(&self, key: String, #[serde(default)] mode: Mode) -> u64;
}

fn main() {}

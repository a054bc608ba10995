#[grid::service(id = 7)]
pub trait Kv {
    async fn get(&self, key: String, #[cfg_attr(unix, serde(default))] mode: u32) -> u64;
}

fn main() {}

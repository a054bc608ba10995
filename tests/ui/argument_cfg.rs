#[grid::service(id = 7)]
pub trait Kv {
    async fn get(&self, key: String, #[cfg(unix)] mode: u32) -> u64;
}

fn main() {}

#[grid::service(id = 7)]
pub trait Kv {
    async fn get(&self, key: impl Into<String> + Send) -> u64;
}

fn main() {}

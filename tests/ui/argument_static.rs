#[grid::service(id = 7)]
pub trait Kv {
    async fn get(&self, key: &'static str) -> u64;
}

fn main() {}

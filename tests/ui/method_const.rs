#[grid::service(id = 7)]
pub trait Kv {
    const async fn get(&self, key: String) -> u64;
}

fn main() {}

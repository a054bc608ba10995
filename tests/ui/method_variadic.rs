#[grid::service(id = 7)]
pub trait Kv {
    async fn get(&self, key: ...) -> u64;
}

fn main() {}

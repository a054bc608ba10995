#[grid::service(id = 7)]
pub trait Kv {
    const LIMIT: u64;

    async fn get(&self) -> u64;
}

fn main() {}

#[grid::service(id = 7)]
pub trait Kv {
    async fn merge(&self, other: &Self) -> u64;
}

fn main() {}

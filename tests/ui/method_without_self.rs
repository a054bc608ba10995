#[grid::service(id = 7)]
pub trait Kv {
    async fn get(key: String) -> u64;
}

fn main() {}

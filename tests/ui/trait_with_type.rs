#[grid::service(id = 7)]
pub trait Kv {
    type Key;

    async fn get(&self) -> u64;
}

struct Store;

impl Kv for Store {
    type Key = String;

    async fn get(&self) -> u64 {
        7
    }
}

fn main() {}

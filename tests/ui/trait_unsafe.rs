#[grid::service(id = 7)]
pub unsafe trait Kv {
    async fn get(&self, key: String) -> u64;
}

struct Store;

unsafe impl Kv for Store {
    async fn get(&self, key: String) -> u64 {
        key.len() as u64
    }
}

fn main() {}

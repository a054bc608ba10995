#[grid::service(id = 7)]
pub trait Kv {
    async fn get(&self, key: String) -> std::io::Result<u64>;
}

fn main() {}

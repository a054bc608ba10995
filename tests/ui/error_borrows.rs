#[grid::service(id = 7)]
pub trait Kv {
    async fn get(&self, key: String) -> Result<u64, &'static str>;
}

fn main() {}

#[grid::service(id = 7)]
pub trait Kv {
    async fn get(&self, key: String) -> Result<impl ToString, u64>;
}

fn main() {}

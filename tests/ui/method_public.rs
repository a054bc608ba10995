#[grid::service(id = 7)]
pub trait Kv {
    pub async fn get(&self, key: String) -> u64;
}

fn main() {}

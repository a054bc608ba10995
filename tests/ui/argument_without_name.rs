#[grid::service(id = 7)]
pub trait Kv {
    async fn get(&self, _: String) -> u64;
}

fn main() {}

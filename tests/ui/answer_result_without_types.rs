#[grid::service(id = 7)]
pub trait Kv {
    async fn get(&self, key: String) -> std::fmt::Result;
}

fn main() {}

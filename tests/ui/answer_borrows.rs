#[grid::service(id = 7)]
pub trait Kv {
    async fn get(&self, key: String) -> &str;
}

fn main() {}

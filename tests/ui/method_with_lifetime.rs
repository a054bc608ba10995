#[grid::service(id = 7)]
pub trait Kv {
    async fn get<'a>(&'a self, key: &'a str) -> u64;
}

fn main() {}

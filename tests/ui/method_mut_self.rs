#[grid::service(id = 7)]
pub trait Kv {
    async fn put(&mut self, key: String);
}

fn main() {}

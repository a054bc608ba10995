#[derive(serde::Serialize)]
pub struct Row;

#[grid::service(id = 7)]
pub trait Kv {
    async fn get(&self, key: &str) -> Row;
}

fn main() {}

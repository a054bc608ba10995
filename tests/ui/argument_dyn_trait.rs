#[grid::service(id = 7)]
pub trait Kv {
    async fn get(&self, key: Box<dyn ToString + Send>) -> u64;
}

fn main() {}

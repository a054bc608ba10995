#[derive(Debug)]
pub struct Oops;

#[grid::service(id = 7)]
pub trait Kv {
    async fn get(&self, key: &str) -> Result<u64, Oops>;
}

fn main() {}

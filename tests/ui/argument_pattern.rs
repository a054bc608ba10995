#[grid::service(id = 7)]
pub trait Kv {
    async fn get(&self, (key, at): (String, u64)) -> u64;
}

fn main() {}

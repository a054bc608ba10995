#[grid::service(id = 7)]
pub trait Kv<'a> {
    async fn get(&self) -> u64;
}

fn main() {}

#[grid::service(id = 7)]
pub trait Kv {
    async fn get(&self, cx: &grid::Context, key: String, again: grid::Context) -> u64;
}

fn main() {}

#[grid::service(id = 7)]
pub trait Kv {
    async fn get(&self, cx: &mut grid::Context, key: String) -> u64;
}

fn main() {}

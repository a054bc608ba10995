#[grid::service(id = 7)]
pub trait Kv {
    async fn get(self: std::sync::Arc<Self>, key: String) -> u64;
}

fn main() {}

#[grid::service(id = 7)]
pub trait Kv {
    #[cfg_attr(all(), rpc(id = 7))]
    async fn get(&self, key: String) -> u64;
}

fn main() {}

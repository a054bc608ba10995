//! All of them are reported together, each once.

#[grid::service(id = 7, codec = "json", name = "kv")]
pub trait Kv {
    const LIMIT: u64;

    #[rpc(id = 0, retries = 3)]
    async fn get(&mut self, key: &'static str, (at, to): (u64, u64)) -> &str;

    fn put(&self, key: &str);

    #[rpc(timeout = "soon")]
    async fn find<T>(&self, rows: &Inbound<T>) -> std::io::Result<T>;

    async fn fine(&self, key: &str) -> u64;

    #[rpc(id = 4)]
    async fn also(&self, key: &str) -> u64;
}

pub struct Inbound<T>(T);

fn main() {}

pub struct Inbound<T>(T);

#[grid::service(id = 7)]
pub trait Kv {
    async fn load(&self, table: String, rows: Inbound<u64>) -> u64;
}

fn main() {}

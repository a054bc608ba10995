pub struct Outbound<T>(T);

#[grid::service(id = 7)]
pub trait Kv {
    async fn list(&self, rows: Outbound<u64>);
}

fn main() {}

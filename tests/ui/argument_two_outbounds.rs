use grid::Outbound;

#[grid::service(id = 7)]
pub trait Kv {
    async fn list(&self, rows: Outbound<u64>, keys: Outbound<String>);
}

fn main() {}

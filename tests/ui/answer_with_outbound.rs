use grid::Outbound;

#[grid::service(id = 7)]
pub trait Kv {
    async fn list(&self, rows: Outbound<u64>) -> u64;

    async fn list_too(&self, rows: Outbound<u64>) -> Result<Vec<u64>, String>;
}

fn main() {}

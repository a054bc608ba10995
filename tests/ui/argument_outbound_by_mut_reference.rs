use grid::Outbound;

#[grid::service(id = 7)]
pub trait Kv {
    async fn list(&self, rows: &mut Outbound<u64>);
}

fn main() {}

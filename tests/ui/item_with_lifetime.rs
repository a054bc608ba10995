use grid::Inbound;

#[grid::service(id = 7)]
pub trait Kv {
    async fn load(&self, rows: Inbound<std::borrow::Cow<'static, str>>) -> u64;
}

fn main() {}

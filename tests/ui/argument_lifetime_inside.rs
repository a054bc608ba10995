#[grid::service(id = 7)]
pub trait Kv {
    async fn get(&self, key: Option<std::borrow::Cow<'static, str>>) -> u64;
}

fn main() {}

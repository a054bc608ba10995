#[grid::service(id = 7)]
pub trait Kv {
    async fn get(&self, key: String) -> Option<std::borrow::Cow<'static, str>>;
}

fn main() {}

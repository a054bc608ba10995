#[grid::service(id = 7)]
pub trait Kv {
    fn get(&self, key: String) -> impl Future<Output = u64> + Send;
}

fn main() {}

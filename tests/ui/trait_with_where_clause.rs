#[grid::service(id = 7)]
pub trait Kv
where
    Self: Sized,
 {
    async fn get(&self, key: String) -> u64;
}

fn main() {}

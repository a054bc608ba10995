#[grid::service(id = 7)]
pub trait Kv {
    fn get(&self, key: String) -> u64;
}

fn main() {}

#[grid::service(id = 7)]
pub trait Kv {
    async extern "C" fn get(&self, key: String) -> u64;
}

fn main() {}

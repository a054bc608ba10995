#[grid::service(id = 7)]
pub trait Kv {
    async unsafe fn get(&self, key: String) -> u64;
}

fn main() {}

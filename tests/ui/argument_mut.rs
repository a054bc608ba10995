#[grid::service(id = 7)]
pub trait Kv {
    async fn get(&self, mut key: String) -> u64 {
        key.push('a');
        key.len() as u64
    }
}

fn main() {}

#[grid::service(id = 7)]
pub trait Kv {
    async fn get(
        &self,
        /// What to get.
        key: String,
    ) -> u64;
}

fn main() {}

#![deny(warnings, missing_docs)]
//! Only the caller is warned.

/// A service.
#[grid::service(id = 7)]
pub trait Kv {
    /// Gets.
    #[deprecated = "use find"]
    async fn get(&self, key: &str) -> u64;
}

/// Calls it.
pub fn call(client: &KvClient) {
    drop(client.get("a"));
}

fn main() {}

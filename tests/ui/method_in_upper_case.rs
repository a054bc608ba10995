#![allow(non_snake_case)]

#[grid::service(id = 7)]
pub trait Kv {
    async fn GET(&self, key: String) -> u64;
}

fn main() {}

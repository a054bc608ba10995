const ID: u8 = 7;

#[grid::service(id = 7)]
pub trait Kv {
    async fn first(&self) -> u64;

    #[rpc(id = ID)]
    async fn get(&self, key: String) -> u64;
}

fn main() {}

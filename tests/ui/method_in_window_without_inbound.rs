use grid::Stream;

#[grid::service(id = 7)]
pub trait Kv {
    #[rpc(in_window = 64)]
    fn watch(&self) -> impl Stream<Item = u64>;

    #[rpc(in_window = 64)]
    async fn get(&self, key: String) -> u64;
}

fn main() {}

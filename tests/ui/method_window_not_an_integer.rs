use grid::Stream;

#[grid::service(id = 7)]
pub trait Kv {
    #[rpc(window = "64")]
    fn watch(&self) -> impl Stream<Item = u64>;
}

fn main() {}

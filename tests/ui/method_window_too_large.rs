use grid::Stream;

#[grid::service(id = 7)]
pub trait Kv {
    #[rpc(out_window = 65537)]
    fn watch(&self) -> impl Stream<Item = u64>;
}

fn main() {}

use grid::Stream;

#[grid::service(id = 7)]
pub trait Kv {
    fn watch(&self) -> futures_util::stream::BoxStream<'_, u64>;

    async fn watch_too(&self) -> std::pin::Pin<Box<dyn Stream<Item = u64> + Send>>;
}

fn main() {}

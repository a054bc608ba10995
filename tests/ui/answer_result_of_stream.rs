use grid::Stream;

#[grid::service(id = 7)]
pub trait Kv {
    fn watch(&self) -> Result<impl Stream<Item = u64>, String>;

    async fn watch_too(&self) -> Result<futures_util::stream::BoxStream<'static, u64>, String>;
}

fn main() {}

use grid::Stream;

#[grid::service(id = 7)]
pub trait Kv {
    async fn load(&self, rows: impl Stream<Item = u64> + Send) -> u64;

    async fn list(&self, rows: futures_util::stream::BoxStream<'_, u64>) -> u64;
}

fn main() {}

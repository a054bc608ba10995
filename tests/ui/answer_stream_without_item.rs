use grid::Stream;

#[grid::service(id = 7)]
pub trait Kv {
    fn watch(&self) -> impl Stream;
}

fn main() {}

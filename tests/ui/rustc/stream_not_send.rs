use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use grid::Stream;

#[grid::service(id = 7)]
pub trait Kv {
    fn watch(&self) -> impl Stream<Item = u64>;
}

struct Shared(Rc<u64>);

impl Stream for Shared {
    type Item = u64;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<u64>> {
        Poll::Ready(Some(*self.0))
    }
}

struct Store;

impl Kv for Store {
    fn watch(&self) -> impl Stream<Item = u64> {
        Shared(Rc::new(7))
    }
}

fn main() {}

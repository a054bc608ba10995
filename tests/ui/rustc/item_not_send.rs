use std::marker::PhantomData;

use grid::Stream;

#[derive(serde::Serialize, serde::Deserialize)]
pub struct Row(PhantomData<*const u8>);

#[grid::service(id = 7)]
pub trait Kv {
    fn watch(&self) -> impl Stream<Item = Row>;
}

fn main() {}

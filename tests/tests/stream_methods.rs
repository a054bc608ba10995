//! Methods with streams, of each kind and in each spelling, called between two nodes.

#[path = "stream_methods/descriptions.rs"]
mod descriptions;
#[path = "stream_methods/items.rs"]
mod items;
#[path = "stream_methods/kinds.rs"]
mod kinds;
#[path = "stream_methods/places.rs"]
mod places;
#[path = "stream_methods/settings.rs"]
mod settings;

use futures_util::StreamExt;
use grid::{CallError, Connection, Inbound, Manager, Service};
use grid_tests::mesh::{only, pair, soon};

/// A connection to a node that serves this. The nodes live as long as what is returned with it.
async fn serving(service: impl Service) -> (Connection, (Manager, Manager)) {
    let (left, right) = pair(|left| left, |right| right.serve(service)).await;
    (only(&left), (left, right))
}

/// All items and how they ended.
async fn collect<T, E>(mut inbound: Inbound<T, E>) -> (Vec<T>, Result<(), CallError<E>>) {
    let mut items = Vec::new();
    while let Some(item) = soon(StreamExt::next(&mut inbound)).await {
        match item {
            Ok(item) => items.push(item),
            Err(error) => return (items, Err(error)),
        }
    }
    (items, Ok(()))
}

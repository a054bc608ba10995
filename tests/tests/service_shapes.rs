//! The shapes that a service may have: each is compiled, and called between two nodes.

#[path = "service_shapes/arguments.rs"]
mod arguments;
#[path = "service_shapes/attributes.rs"]
mod attributes;
#[path = "service_shapes/bodies.rs"]
mod bodies;
#[path = "service_shapes/names.rs"]
mod names;
#[path = "service_shapes/places.rs"]
mod places;

use grid::{Connection, Manager, Service};
use grid_tests::mesh::{only, pair};

/// A connection to a node that serves this. The nodes live as long as what is returned with it.
async fn serving(service: impl Service) -> (Connection, (Manager, Manager)) {
    let (left, right) = pair(|left| left, |right| right.serve(service)).await;
    (only(&left), (left, right))
}

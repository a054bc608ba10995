//! The benchmarks are in `benches`. This is a package of its own so that they are built without the peers of grid.

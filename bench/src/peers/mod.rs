//! What is measured: a file for each peer, which starts its server and connects its client.

mod grid;
mod tonic;

pub(crate) use self::grid::Grid;
pub(crate) use self::tonic::Tonic;

//! Many links: what those that are busy share, and what those that are idle cost.

use std::net::SocketAddr;

use anyhow::Result;
use futures_util::future::try_join_all;

use crate::case::{Case, Done, Group, Plan, Sample};
use crate::figure::Figure;
use crate::item::ITEM_BYTES;
use crate::peers::{BareMux, GridBytes, Tonic, WebSocket};
use crate::unary::{Echo, Work, call};

/// What serves the links.
#[derive(Debug, Clone, Copy)]
enum Servers {
    /// One server all of them.
    One,
    /// A server each of them.
    Each,
}

/// Calls over so many links at once.
async fn measure<E: Echo>(servers: Servers, links: usize, plan: Plan) -> Result<Sample> {
    let first = E::serve().await?;
    let mut clients = vec![connect::<E>(first).await?];
    while clients.len() < links {
        let server = match servers {
            Servers::One => first,
            Servers::Each => E::serve().await?,
        };
        clients.push(connect::<E>(server).await?);
    }
    plan.measure(|count| {
        let calls = try_join_all(clients.iter().map(|client| call(client.clone(), BUSY, count)));
        async { Ok(calls.await?.iter().fold(Done::units(0), |done, more| done.and(more))) }
    })
    .await
}

/// Calls over one link, while so many others to the same server are idle.
async fn measure_beside<E: Echo>(idle: usize, plan: Plan) -> Result<Sample> {
    let server = E::serve().await?;
    let client = connect::<E>(server).await?;
    let mut others = Vec::new();
    for _ in 0..idle {
        others.push(connect::<E>(server).await?);
    }
    let sample = plan.measure(|count| call(client.clone(), BESIDE_IDLE, count)).await;
    drop(others);
    sample
}

/// A client that has called once.
async fn connect<E: Echo>(server: SocketAddr) -> Result<E> {
    let client = E::connect(server).await?;
    call(client.clone(), Work::new(ITEM_BYTES, 1), 1).await?;
    Ok(client)
}

/// Calls over several links.
pub(crate) fn group() -> Group {
    fn row<E: Echo>(name: &str, servers: Servers) -> impl Iterator<Item = Case> {
        LINKS.into_iter().map(move |links| {
            Case::new(NAME, name.into(), links.to_string(), move |plan| measure::<E>(servers, links, plan))
        })
    }
    let cases = row::<GridBytes>("grid", Servers::One)
        .chain(row::<GridBytes>("grid-nodes", Servers::Each))
        .chain(row::<BareMux<WebSocket>>("bare-mux", Servers::One))
        .chain(row::<Tonic>("tonic", Servers::One));
    Group { name: NAME, about: ABOUT, unit: "calls", reference: "1", figures: FIGURES, cases: cases.collect() }
}

/// Calls beside idle links.
pub(crate) fn idle_peers() -> Group {
    fn row<E: Echo>(name: &str) -> impl Iterator<Item = Case> {
        IDLE.into_iter().map(move |idle| {
            Case::new(NAME_IDLE, name.into(), idle.to_string(), move |plan| measure_beside::<E>(idle, plan))
        })
    }
    let cases = row::<GridBytes>("grid").chain(row::<BareMux<WebSocket>>("bare-mux")).chain(row::<Tonic>("tonic"));
    let (about, cases) = (ABOUT_IDLE, cases.collect());
    Group { name: NAME_IDLE, about, unit: "calls", reference: "0", figures: FIGURES, cases }
}

const NAME: &str = "links";
const ABOUT: &str = "\
Calls of 512 bytes over as many links at once as the column says, by 64 callers on each. The links of `grid` are of as many
guests to one node, those of `grid-nodes` to a node each, those of a peer connections to one server.
What they share shows best with a worker for each: --workers 8 where there are cores for it.";
const NAME_IDLE: &str = "idle-peers";
const ABOUT_IDLE: &str = "\
Calls of 512 bytes by 16 callers over one link, while as many other guests as the column says are connected to the same node,
or clients to the same server, and idle.";
const FIGURES: &[Figure] = &[Figure::RATE.beside(), Figure::CPU.beside(), Figure::P99.beside(), Figure::CORES];
const BUSY: Work = Work::new(ITEM_BYTES, 64);
const BESIDE_IDLE: Work = Work::new(ITEM_BYTES, 16);
const LINKS: [usize; 4] = [1, 2, 4, 8];
/// A node takes 1,024 guests by default.
const IDLE: [usize; 3] = [0, 100, 1000];

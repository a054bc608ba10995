//! Guests, which connect, make some calls, are called back, and leave.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use grid::Context;
use grid_tests::load::Kind;
use grid_tests::probe::ECHO;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::mesh::Mesh;

/// Some at a time, until told to stop.
pub(crate) async fn come_and_go(mesh: &Mesh, stopped: watch::Receiver<bool>) {
    let guests = (0..AT_ONCE).map(|_| one_after_the_other(mesh, stopped.clone()));
    futures_util::future::join_all(guests).await;
}

async fn one_after_the_other(mesh: &Mesh, stopped: watch::Receiver<bool>) {
    while !*stopped.borrow() {
        let name = mesh.nodes[fastrand::usize(0..mesh.nodes.len())].name().to_owned();
        let guest = grid::connect(name)
            .timeouts(|timeouts| timeouts.handshake = HANDSHAKE)
            .single(ECHO, async |_: Context, payload: Bytes| Ok(payload));
        // Whether the weather lets it in is not for it to say.
        if let Ok(connection) = guest.await {
            mesh.on_guest();
            let ledger = Arc::clone(&mesh.ledger);
            for _ in 0..fastrand::usize(0..100) {
                ledger.call(&connection, Kind::any()).await;
                sleep(Duration::from_millis(fastrand::u64(0..20))).await;
            }
        }
        sleep(Duration::from_millis(fastrand::u64(0..500))).await;
    }
}

const AT_ONCE: usize = 4;
const HANDSHAKE: Duration = Duration::from_secs(2);

//! What befalls the links.

use std::time::Duration;

use grid_tests::proxy::{Pace, Proxy, WAYS};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::mesh::Mesh;

/// One fault after the other, until told to stop.
pub(crate) async fn change(mesh: &Mesh, mut stopped: watch::Receiver<bool>) {
    let changing = async {
        loop {
            sleep(Duration::from_millis(fastrand::u64(100..1500))).await;
            befall(&mesh.proxies[fastrand::usize(0..mesh.proxies.len())]).await;
        }
    };
    tokio::select! {
        () = changing => {}
        stopped = stopped.wait_for(|stopped| *stopped) => { stopped.expect("the sender is kept"); }
    }
    mesh.proxies.iter().for_each(|proxy| proxy.set_both(Pace::Free));
}

async fn befall(proxy: &Proxy) {
    let way = WAYS[fastrand::usize(0..2)];
    let pace = match fastrand::u8(0..10) {
        0..5 => return proxy.cut(),
        5 => return proxy.close_half(way),
        6 | 7 => Pace::Stalled,
        8 => Pace::Swallowed,
        _ => Pace::Trickling { bytes: fastrand::usize(1..64), every: Duration::from_millis(1) },
    };
    proxy.set(way, pace);
    // Some are over before anybody is taken for dead.
    sleep(Duration::from_millis(fastrand::u64(100..4500))).await;
    proxy.set(way, Pace::Free);
}

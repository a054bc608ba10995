//! Links in memory that carry little, for tests under virtual time.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use grid::{BoxIo, Connector, Manager, ManagerBuilder};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, duplex, split};
use tokio::time::sleep;

use crate::memory::{LINK_BYTES, Network, names, within};
use crate::mesh::only;

/// Carries so many bytes per second in either direction.
#[derive(Clone)]
struct Slow {
    network: Network,
    bytes_per_second: usize,
}

impl Connector for Slow {
    fn connect<'a>(&'a self, name: &'a str) -> Pin<Box<dyn Future<Output = io::Result<BoxIo>> + Send + 'a>> {
        Box::pin(async move {
            let (far_read, far_write) = split(self.network.connect(name).await?);
            let (near, pumped) = duplex(LINK_BYTES);
            let (near_read, near_write) = split(pumped);
            tokio::spawn(pump(near_read, far_write, self.bytes_per_second));
            tokio::spawn(pump(far_read, near_write, self.bytes_per_second));
            Ok(Box::new(near) as BoxIo)
        })
    }
}

async fn pump(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, bytes_per_second: usize) {
    let mut bytes = vec![0; bytes_per_second / 10];
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        sleep(Duration::from_millis(100)).await;
        if to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}

/// Two nodes that are connected by such a link, the right one with what it serves.
pub async fn slow_mesh(
    bytes_per_second: usize,
    serve: impl FnOnce(ManagerBuilder) -> ManagerBuilder,
) -> (Manager, Manager) {
    let network = Network::default();
    let (dialling, dialled) = names();
    let right = serve(network.builder(&dialled).peers([&*dialling])).build().expect("it starts");
    network.add(&right);
    let slow = Slow { network, bytes_per_second };
    let left = Manager::builder(dialling).connector(slow).peers([&*dialled]).build().expect("it starts");
    within(only(&left).ready()).await.expect("not shut down");
    (left, right)
}

//! An upload with progress: a stream of requests with one answer.
//!
//! The node is slower than the sender. Sending waits for it, so the bar shows what the node has taken, and a window's worth
//! more.

use std::net::TcpListener;
use std::time::Duration;

use grid::{Inbound, Manager, RemoteError};
use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    name: String,
    bytes: u64,
}

#[grid::service(id = 4)]
trait Files {
    /// Stores a file, which comes in parts, of which few are to be on their way.
    #[rpc(window = 4)]
    async fn store(&self, name: &str, parts: Inbound<Vec<u8>>) -> Result<Stored, RemoteError>;
}

/// Throws away what it is given, not too fast.
struct Disk;

impl Files for Disk {
    async fn store(&self, name: &str, mut parts: Inbound<Vec<u8>>) -> Result<Stored, RemoteError> {
        let mut stored = Stored { name: name.to_owned(), bytes: 0 };
        // An upload that is cut short never ends here: this future is dropped then.
        while let Some(part) = parts.next().await {
            stored.bytes += part?.len() as u64;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(stored)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let name = format!("http://{}", listener.local_addr()?);
    let builder = Manager::builder(name.as_str()).listener(listener).allow_guests([FilesClient::STORE]);
    let node = builder.serve(FilesServer::new(Disk)).start().await?;

    let files = FilesClient::new(grid::connect(name.as_str()).await?);
    let file = vec![7; 8 << 20];
    let bar = ProgressBar::new(file.len() as u64)
        .with_style(ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left")?);
    let (parts, stored) = files.store("backup.tar").await?;
    for part in file.chunks(64 << 10) {
        // If the node ends the call early, the answer tells why.
        if parts.send(part.to_vec()).await.is_err() {
            break;
        }
        bar.inc(part.len() as u64);
    }
    parts.finish().await.ok();
    let stored = stored.await?;
    bar.finish();
    println!("stored {} with {} bytes", stored.name, stored.bytes);
    node.shutdown().await;
    Ok(())
}

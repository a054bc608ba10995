//! A live tail: a stream of responses that goes on until its reader has seen enough.
//!
//! The reader is slower than the writer. What is not read holds up this one stream: the node does not even take the next
//! line from its log for it.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use grid::{Manager, RemoteError, Stream};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Line {
    number: u64,
    text: String,
}

#[grid::service(id = 3)]
trait Logs {
    /// The lines from this number on, those to come included. It ends when the caller has seen enough.
    #[rpc(window = 8)]
    fn tail(&self, from: u64) -> impl Stream<Item = Result<Line, RemoteError>>;
}

/// A log whose lines follow from their numbers; it knows how many there are.
struct Log {
    len: watch::Sender<u64>,
}

impl Logs for Log {
    fn tail(&self, from: u64) -> impl Stream<Item = Result<Line, RemoteError>> {
        futures_util::stream::try_unfold((from, self.len.subscribe()), async |(number, mut len)| {
            len.wait_for(|len| *len > number).await.map_err(|_| "the log is closed")?;
            let line = Line { number, text: format!("something happened, after {number} other things") };
            Ok(Some((line, (number + 1, len))))
        })
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let name = format!("http://{}", listener.local_addr()?);
    let log = Arc::new(Log { len: watch::Sender::new(0) });
    let builder = Manager::builder(name.as_str()).listener(listener).allow_guests([LogsClient::TAIL]);
    let node = builder.serve(LogsServer::from(Arc::clone(&log))).start().await?;
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            log.len.send_modify(|len| *len += 1);
        }
    });

    let connection = grid::connect(name.as_str()).await?;
    let mut lines = LogsClient::new(connection.clone()).tail(0).await?;
    while let Some(line) = lines.next().await {
        let Line { number, text } = line?;
        println!("{number}: {text}");
        if number == 9 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Dropping the stream ends the call on both sides.
    drop(lines);
    println!("seen enough; calls in flight: {}", connection.stats().calls_out);
    node.shutdown().await;
    Ok(())
}

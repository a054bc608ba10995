//! A guest that serves: the node calls back whoever called it.
//!
//! A guest is a process outside the mesh, such as a client or a job. It dials, but over the one connection calls go both
//! ways.

use std::net::TcpListener;

use grid::{Context, Manager, RemoteError};

/// What the node does for its guests.
#[grid::service(id = 1)]
trait Jobs {
    /// Adds up the numbers, and tells the caller of each step.
    async fn add_up(&self, cx: &Context, numbers: &[u32]) -> Result<u32, RemoteError>;
}

/// What a guest does for the node.
#[grid::service(id = 2)]
trait Progress {
    /// So much is done.
    async fn done(&self, steps: usize, of: usize);
}

struct Adder;

impl Jobs for Adder {
    async fn add_up(&self, cx: &Context, numbers: &[u32]) -> Result<u32, RemoteError> {
        let caller = ProgressClient::new(cx.connection());
        let mut sum = 0;
        for (at, number) in numbers.iter().enumerate() {
            sum += number;
            // A call made in a handler has at most the time that is left of the call being served.
            caller.done(at + 1, numbers.len()).await?;
        }
        Ok(sum)
    }
}

struct Printer;

impl Progress for Printer {
    async fn done(&self, steps: usize, of: usize) {
        println!("guest: the node tells me that {steps} of {of} numbers are added");
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let name = format!("http://{}", listener.local_addr()?);
    let node = Manager::builder(name.as_str())
        .listener(listener)
        .allow_guests([JobsClient::ADD_UP])
        .shared_secret("callback example")
        .serve(JobsServer::new(Adder))
        .start()
        .await?;

    let connection =
        grid::connect(name.as_str()).shared_secret("callback example").serve(ProgressServer::new(Printer)).await?;
    let sum = JobsClient::new(connection).add_up(&[1, 2, 3, 4]).await?;
    println!("guest: the sum is {sum}");

    node.shutdown().await;
    Ok(())
}

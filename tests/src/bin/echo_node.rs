//! A node in a process of its own, to be killed by tests: `echo_node <own name> <name of its peer>`.
//!
//! Handler 1 echoes, handler 2 gives the numbers of calls in flight in either direction and of live tasks, handler 3
//! asks the caller's handler 1. Ends when its standard input does.

use bytes::Bytes;
use grid::{Context, Manager};
use grid_tests::mesh::quick;
use tokio::io::AsyncReadExt;

#[tokio::main(worker_threads = 2)]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let (Some(own), Some(peer)) = (arguments.next(), arguments.next()) else { panic!("give two names") };
    let node = quick(Manager::builder(own))
        .peers([peer])
        .single(1_u8, async |_, payload: Bytes| Ok(payload))
        .single(2_u8, async |cx: Context, _| {
            let stats = cx.connection().stats();
            Ok(Bytes::from(format!("{} {}", stats.calls_in, stats.calls_out)))
        })
        .single(3_u8, async |cx: Context, payload: Bytes| Ok(cx.connection().single(1_u8, payload).await?))
        .start()
        .await
        .expect("the port is free");
    let mut nothing = [0];
    let ended = tokio::io::stdin().read(&mut nothing).await;
    drop((node, ended));
}

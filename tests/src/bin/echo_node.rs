//! A node in a process of its own, to be killed, stopped and starved by tests:
//! `echo_node <own name> <name of its peer> [sharp]`.
//!
//! Handler 1 echoes, handler 2 gives the numbers of calls in flight in either direction, handler 3 asks the caller's
//! handler 1, handler 4 gives the reconnections of the connection to its peer, and its state; and it serves all that a
//! load calls. Warnings go to its standard error. It ends when its standard input does.

use bytes::Bytes;
use grid::{Context, HandlerId, Manager, RemoteError};
use grid_tests::load::{open_to_guests, serve};
use grid_tests::mesh::{quick, sharp};
use grid_tests::probe::Probe;
use tokio::io::AsyncReadExt;
use tracing::Level;

#[tokio::main(worker_threads = 2)]
async fn main() {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(Level::WARN).with_ansi(false).init();
    let mut arguments = std::env::args().skip(1);
    let (Some(own), Some(peer)) = (arguments.next(), arguments.next()) else { panic!("give two names") };
    let times = if arguments.next().as_deref() == Some("sharp") { sharp } else { quick };
    let asked = peer.clone();
    let node = open_to_guests(serve(&Probe::default(), times(Manager::builder(own))))
        .peers([peer])
        .allow_guests((1..=4_u8).map(HandlerId::from))
        .single(1_u8, async |_, payload: Bytes| Ok(payload))
        .single(2_u8, async |cx: Context, _| {
            let stats = cx.connection().stats();
            Ok(Bytes::from(format!("{} {}", stats.calls_in, stats.calls_out)))
        })
        .single(3_u8, async |cx: Context, payload: Bytes| Ok(cx.connection().single(1_u8, payload).await?))
        .single(4_u8, move |cx: Context, _| {
            let peer = cx.peer(&asked).map_err(|error| RemoteError::new(error.to_string()));
            async move {
                let peer = peer?;
                Ok(Bytes::from(format!("{} {:?}", peer.stats().reconnects, peer.state())))
            }
        })
        .start()
        .await
        .expect("the port is free");
    let mut nothing = [0];
    let ended = tokio::io::stdin().read(&mut nothing).await;
    drop((node, ended));
}

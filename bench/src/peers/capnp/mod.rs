//! Cap'n Proto. What it makes cannot leave its thread, so both sides and all callers share one.
//!
//! `echo_capnp.rs` is made of `echo.capnp` by `capnp compile -o rust` of capnpc 0.27.0, so that nobody else needs the tool.

#[allow(clippy::all, clippy::restriction, unreachable_pub, reason = "generated")]
mod echo_capnp;

use std::net::SocketAddr;
use std::rc::Rc;

use anyhow::Result;
use capnp::message::ReaderOptions;
use capnp_rpc::rpc_twoparty_capnp::Side;
use capnp_rpc::twoparty::VatNetwork;
use capnp_rpc::{RpcSystem, new_client};
use futures_util::future::try_join_all;
use futures_util::io::{AsyncRead, BufReader, BufWriter};
use tokio::net::TcpStream;
use tokio::task::{LocalSet, spawn_local};
use tokio_util::compat::{TokioAsyncReadCompatExt, TokioAsyncWriteCompatExt};

use self::echo_capnp::echo::{Client, EchoParams, EchoResults, Server};
use super::wire::dial;
use crate::case::{Done, Plan, Sample};
use crate::memory;
use crate::runtime::on_thread;
use crate::unary::{Caller, Work, sum};

/// Measures calls on one thread.
pub(crate) async fn measure(work: Work, plan: Plan) -> Result<Sample> {
    on_thread(async move || {
        let run = async {
            let client = connect(serve().await?).await?;
            plan.measure(|count| call(client.clone(), work, count)).await
        };
        LocalSet::new().run_until(run).await
    })
    .await
}

/// Measures the memory of connections, each of which has carried a call of so many bytes.
pub(crate) async fn connections(bytes: usize) -> Result<Sample> {
    on_thread(async move || {
        let run = async {
            let server = serve().await?;
            memory::connections(async || {
                let client = connect(server).await?;
                call(client.clone(), Work { bytes, callers: 1 }, 1).await?;
                Ok(client)
            })
            .await
        };
        LocalSet::new().run_until(run).await
    })
    .await
}

/// Has each caller do so many calls.
async fn call(client: Client, work: Work, count: u64) -> Result<Done> {
    let caller = |index| {
        let client = client.clone();
        spawn_local(async move {
            let mut caller = Caller::new(work, index);
            for _ in 0..count {
                let mut request = client.echo_request();
                request.get().set_payload(caller.begin());
                let answer = request.send().promise.await?;
                caller.end(answer.get()?.get_payload()?)?;
            }
            anyhow::Ok(caller)
        })
    };
    let ended = try_join_all((0..work.callers).map(caller)).await?;
    Ok(sum(count, &ended.into_iter().collect::<Result<Vec<_>>>()?))
}

async fn serve() -> Result<SocketAddr> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    spawn_local(async move {
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let client: Client = new_client(EchoServer);
            spawn_local(RpcSystem::new(network(stream, Side::Server), Some(client.client)));
        }
        #[expect(unreachable_code, reason = "gives the errors above a type")]
        anyhow::Ok(())
    });
    Ok(address)
}

async fn connect(server: SocketAddr) -> Result<Client> {
    let mut system = RpcSystem::new(network(dial(server).await?, Side::Client), None);
    let client = system.bootstrap(Side::Server);
    spawn_local(system);
    Ok(client)
}

fn network(stream: TcpStream, side: Side) -> Box<VatNetwork<impl AsyncRead + Unpin>> {
    let (incoming, outgoing) = stream.into_split();
    let (incoming, outgoing) = (BufReader::new(incoming.compat()), BufWriter::new(outgoing.compat_write()));
    Box::new(VatNetwork::new(incoming, outgoing, side, ReaderOptions::new()))
}

struct EchoServer;

impl Server for EchoServer {
    async fn echo(self: Rc<Self>, params: EchoParams, mut results: EchoResults) -> Result<(), capnp::Error> {
        results.get().set_payload(params.get()?.get_payload()?);
        Ok(())
    }
}

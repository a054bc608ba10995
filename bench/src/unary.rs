//! Single calls: an echo. What is done, the same for all peers. A peer brings [`Echo`].

use std::future::Future;
use std::net::SocketAddr;
use std::time::Instant;

use anyhow::Result;
use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, try_join_all};

use crate::case::{Allocations, Case, Done, Group, Plan, Sample};
use crate::figure::Figure;
use crate::latency::Histogram;
use crate::payload::Payload;
use crate::peers::{
    BareMux, Grid, GridBytes, Jsonrpsee, SecureGrid, SecureTonic, SecureWebSocket, Tarpc, Tcp, Tonic, WebSocket, capnp,
    raw,
};
use crate::runtime::on_thread;

/// A client of an echo, over one connection. A clone is the same connection.
///
/// Each peer does this in the way that is its fastest and that its documentation shows.
pub(crate) trait Echo: Clone + Send + Sync + 'static {
    type Answer: AsRef<[u8]> + Send;

    /// Starts a server that lasts as long as the runtime that this runs on, and gives its address.
    fn serve() -> impl Future<Output = Result<SocketAddr>> + Send;

    fn connect(server: SocketAddr) -> impl Future<Output = Result<Self>> + Send;

    /// Sends bytes, all of them ASCII, and gets them back.
    fn echo(&self, payload: &[u8]) -> impl Future<Output = Result<Self::Answer>> + Send;
}

/// What is done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Work {
    /// Of a payload, in each direction.
    pub(crate) bytes: usize,
    /// Callers at once, each of which calls again when it has its answer.
    pub(crate) callers: u32,
}

impl Work {
    pub(crate) const fn new(bytes: usize, callers: u32) -> Self {
        Self { bytes, callers }
    }

    fn row(self) -> String {
        match self.bytes {
            bytes @ ..1024 => format!("{bytes}B-{}", self.callers),
            bytes => format!("{}KiB-{}", bytes / 1024, self.callers),
        }
    }
}

/// One of those who call: the numbers of its calls, the check of their answers, and how long they took.
#[derive(Debug)]
pub(crate) struct Caller {
    payload: Payload,
    number: u32,
    begun: Instant,
    latencies: Histogram,
}

impl Caller {
    /// The caller of this index.
    pub(crate) fn new(work: Work, index: u32) -> Self {
        let (payload, number) = (Payload::new(work.bytes), index << CALLS_BITS);
        Self { payload, number, begun: Instant::now(), latencies: Histogram::new() }
    }

    /// What to send in the next call.
    pub(crate) fn begin(&mut self) -> &[u8] {
        self.number = self.number.wrapping_add(1);
        self.payload.numbered(self.number)
    }

    /// Checks the answer. A call takes from the end of the one before it to this, so the clock is read once for each.
    pub(crate) fn end(&mut self, answer: &[u8]) -> Result<()> {
        self.payload.check(answer)?;
        let now = Instant::now();
        self.latencies.record(now - self.begun);
        self.begun = now;
        Ok(())
    }
}

/// What all callers did, each so many calls.
pub(crate) fn sum(count: u64, callers: &[Caller]) -> Done {
    let latencies = callers.iter().fold(Histogram::new(), |sum, caller| sum.merge(&caller.latencies));
    Done { units: count * callers.len() as u64, latencies }
}

/// Has each caller do so many calls, all callers at once, each in a task of its own.
pub(crate) async fn call(echo: impl Echo, work: Work, count: u64) -> Result<Done> {
    let caller = |index| {
        let echo = echo.clone();
        tokio::spawn(async move {
            let mut caller = Caller::new(work, index);
            for _ in 0..count {
                let answer = echo.echo(caller.begin()).await?;
                caller.end(answer.as_ref())?;
            }
            anyhow::Ok(caller)
        })
    };
    let ended = try_join_all((0..work.callers).map(caller)).await?;
    Ok(sum(count, &ended.into_iter().collect::<Result<Vec<_>>>()?))
}

async fn measure<E: Echo>(work: Work, plan: Plan) -> Result<Sample> {
    let echo = E::connect(E::serve().await?).await?;
    plan.measure(|count| call(echo.clone(), work, count)).await
}

/// Has each side on a thread of its own.
async fn measure_apart<E: Echo>(work: Work, plan: Plan) -> Result<Sample> {
    let server = on_thread(E::serve).await?;
    on_thread(async move || {
        let echo = E::connect(server).await?;
        plan.measure(|count| call(echo.clone(), work, count)).await
    })
    .await
}

/// Single calls, of all peers.
pub(crate) fn group() -> Group {
    let cases = WORKS.into_iter().flat_map(|work| all_peers("unary", work, |plan| plan)).collect();
    Group { name: "unary", about: ABOUT, unit: "calls", reference: "grid", figures: FIGURES, cases }
}

/// What single calls allocate.
pub(crate) fn allocations() -> Group {
    let name = "unary-allocations";
    let counting = |plan| Plan { allocations: Allocations::Counted, ..plan };
    let cases = [SMALL_1, SMALL_64].into_iter().flat_map(|work| all_peers(name, work, counting)).collect();
    let figures = &[Figure::ALLOCATIONS];
    Group { name, about: ABOUT_ALLOCATIONS, unit: "calls", reference: "grid", figures, cases }
}

/// Single calls between two threads.
pub(crate) fn two_runtimes() -> Group {
    fn case<E: Echo>(work: Work, column: &str) -> Case {
        Case::new(TWO_RUNTIMES, work.row(), column.into(), move |plan| measure_apart::<E>(work, plan))
    }
    let cases = [SMALL_1, SMALL_64, SMALL_1024].into_iter().flat_map(|work| {
        [
            case::<BareMux<WebSocket>>(work, "bare-mux"),
            case::<Grid>(work, "grid"),
            case::<Tarpc>(work, "tarpc"),
            case::<Tonic>(work, "tonic"),
        ]
    });
    let (about, cases) = (ABOUT_TWO_RUNTIMES, cases.collect());
    Group { name: TWO_RUNTIMES, about, unit: "calls", reference: "grid", figures: FIGURES, cases }
}

/// Single calls over TLS.
pub(crate) fn tls() -> Group {
    fn case<E: Echo>(work: Work, column: &str) -> Case {
        Case::new(TLS, work.row(), column.into(), move |plan| measure::<E>(work, plan))
    }
    let cases = [SMALL_1, SMALL_64, SMALL_1024].into_iter().flat_map(|work| {
        [
            case::<BareMux<SecureWebSocket>>(work, "bare-mux"),
            case::<SecureGrid>(work, "grid"),
            case::<SecureTonic>(work, "tonic"),
        ]
    });
    Group { name: TLS, about: ABOUT_TLS, unit: "calls", reference: "grid", figures: FIGURES, cases: cases.collect() }
}

/// A case of this work for each peer.
fn all_peers(group: &'static str, work: Work, changed: fn(Plan) -> Plan) -> Vec<Case> {
    let case = |column: &str, measure: fn(Work, Plan) -> LocalBoxFuture<'static, Result<Sample>>| {
        Case::new(group, work.row(), column.into(), move |plan| measure(work, changed(plan)))
    };
    vec![
        case("raw-ws", |work, plan| raw::measure(work, plan).boxed_local()),
        case("bare-mux", |work, plan| measure::<BareMux<WebSocket>>(work, plan).boxed_local()),
        case("bare-mux-tcp", |work, plan| measure::<BareMux<Tcp>>(work, plan).boxed_local()),
        case("grid", |work, plan| measure::<Grid>(work, plan).boxed_local()),
        case("grid-raw", |work, plan| measure::<GridBytes>(work, plan).boxed_local()),
        case("tarpc", |work, plan| measure::<Tarpc>(work, plan).boxed_local()),
        case("tonic", |work, plan| measure::<Tonic>(work, plan).boxed_local()),
        case("jsonrpsee", |work, plan| measure::<Jsonrpsee>(work, plan).boxed_local()),
        case("capnp", |work, plan| capnp::measure(work, plan).boxed_local()),
    ]
}

const TWO_RUNTIMES: &str = "unary-two-runtimes";
const TLS: &str = "unary-tls";
const ABOUT: &str = "\
An echo of so many bytes, called by so many callers at once over one connection (the two numbers of a row). Each caller
is a task that calls again when it has its answer, which it compares with what it sent. `raw-ws` is the floor: one task
on each side, as many messages under way as there are callers, and no calls. `bare-mux` is a table of waiting calls, a
task for each request and a writer that gathers, by hand, over WebSocket or TCP, and no more. `grid` is a service of the
macro, `grid-raw` a handler on bytes.";
const ABOUT_ALLOCATIONS: &str = "\
The same calls, and how often the whole process allocates meanwhile, both ends together, with what a caller allocates
to hand over its payload.";
const ABOUT_TWO_RUNTIMES: &str = "\
The same calls between two threads, each with a runtime of its own, so that each message crosses from one to the other
as it does between processes.";
const ABOUT_TLS: &str = "\
The same calls over TLS 1.3 (rustls), on one runtime again. grid is two nodes of a mesh here, not a node and a guest.";
const FIGURES: &[Figure] =
    &[Figure::RATE, Figure::RATE.ratio(), Figure::CPU, Figure::CPU.ratio(), Figure::P50, Figure::P99, Figure::CORES];
const SMALL_1: Work = Work::new(512, 1);
const SMALL_64: Work = Work::new(512, 64);
const SMALL_1024: Work = Work::new(512, 1024);
const WORKS: [Work; 7] = [
    SMALL_1,
    Work::new(512, 16),
    SMALL_64,
    Work::new(512, 256),
    SMALL_1024,
    Work::new(16, 64),
    Work::new(64 * 1024, 16),
];
/// Bits of a number that count the calls of one caller; those above say which caller.
const CALLS_BITS: u32 = 20;

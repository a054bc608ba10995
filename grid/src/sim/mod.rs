//! Nodes on a simulated network under simulated clocks: what your services do under partitions, crashes and wrong
//! clocks, in a test, the same way each time.
//!
//! Feature `sim`, for the `dev-dependencies` of a crate. The code of the nodes is the real one, that of grid and yours: a
//! program is written as ever, and takes its builder from its [`Node`].
//!
//! ```
//! use std::time::Duration;
//!
//! #[grid::service(id = 1)]
//! trait Hello {
//!     async fn greet(&self, name: &str) -> String;
//! }
//!
//! struct Greeter;
//!
//! impl Hello for Greeter {
//!     async fn greet(&self, name: &str) -> String {
//!         format!("Hello, {name}!")
//!     }
//! }
//!
//! let mut sim = grid::sim::Sim::new(17);
//! sim.node("http://greeter:1", |node| async move {
//!     let manager = node.builder().peers(["http://caller:1"]).serve(HelloServer::new(Greeter)).start().await?;
//!     manager.closed().await;
//!     Ok(())
//! });
//! sim.node("http://caller:1", |node| async move {
//!     let manager = node.builder().peers(["http://greeter:1"]).start().await?;
//!     let greeter = manager.connection("http://greeter:1")?;
//!     greeter.ready().await?;
//!     assert_eq!(HelloClient::new(greeter).greet("grid").await?, "Hello, grid!");
//!     Ok(())
//! });
//! sim.partition("http://greeter:1", "http://caller:1");
//! sim.run_for(Duration::from_secs(30));
//! sim.heal("http://greeter:1", "http://caller:1");
//! sim.run_to_end("http://caller:1", Duration::from_secs(10));
//! ```
//!
//! # Many seeds
//!
//! All that is random comes from the seed, so a test runs many of them, and one that fails is run again until it is
//! understood. [`Sim::chaos`] draws faults of all kinds, and returns what they were, which belongs into the message of an
//! assertion.
//!
//! A panic while a node runs fails the test and names the seed, also in a task or a handler, where nobody else would
//! see it. What is to panic, in a test of just that, does so by [`resume_unwind`](std::panic::resume_unwind). A node
//! that works on without waiting for anything hangs the test; within a minute stderr says which one, and the seed.
//!
//! # What is simulated
//!
//! - **Networks.** Bytes take their time and arrive in pieces of random size; buffers are full at 64 KiB; connections are
//!   taken in, refused, or wait for an answer that does not come. What is sent into a partition waits, in either direction
//!   alone, as TCP sends it again until it gets through. A connection whose other end is gone stays half-open until bytes
//!   arrive there, and is reset by the first. What TCP gives up after a quarter of an hour without an answer is kept here.
//! - **Machines.** Each has a tokio runtime of one thread, under a clock that moves only as the simulation lets it. A
//!   machine can be [stalled](Sim::stall), its program [crash](Sim::crash), it can [lose its power](Sim::power_off), and be
//!   [started again](Sim::restart). Its time of day is its own, and [can be wrong](Sim::set_clock).
//! - **Time** moves in steps of a millisecond, or of up to 8 while nothing is under way: what two nodes do of themselves
//!   in such a step may be seen in the other order, as if the network had been that much slower. Work takes no time.
//!
//! # What it takes to be the same each time
//!
//! A program that is simulated must do without what comes from elsewhere: real sockets (which fail), threads and
//! `spawn_blocking`, the time of the system, the order of a `HashMap`, `tokio::select!` that is not `biased`, several
//! tasks that wait for one `tokio::sync::watch`, TLS, and random numbers other than those of the functions of
//! [`fastrand`](https://docs.rs/fastrand), or seeded by them. A program that does not is simulated as well; but its
//! seeds may not fail again. [`Sim::digest`] tells whether two runs were the same.
//!
//! # Beside other simulators
//!
//! turmoil (0.7) runs tokio programs on a simulated network, too. It was not taken for three of the faults above: what
//! is sent into its partitions is lost for good, so that a TCP stream that had bytes under way never goes on (its
//! `hold` keeps them, but in both directions); it cannot stall a host; and its hosts have one time of day. madsim puts
//! a runtime of its own in the place of tokio's, so what was tested would not be what runs.

mod attempt;
mod chaos;
mod faults;
mod machine;
mod network;
mod node;
mod panics;
mod pipe;
mod routes;
mod socket;
mod system;
mod travel;
mod watchdog;
mod wire;

use std::fmt;
use std::future::Future;
use std::io::{self, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

pub use self::chaos::{Fault, FaultKind};
use self::machine::Machine;
use self::network::Network;
pub use self::node::Node;
use self::routes::Place;
pub(crate) use self::socket::Listener;
use self::watchdog::{Step, Watchdog};

/// How the program of a node ends.
type Exit = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// A simulation, which moves on while one of its methods runs it. See [the module](self).
///
/// It makes runtimes of its own: a test of it is a plain `#[test]`, and not async.
pub struct Sim {
    seed: u64,
    network: Arc<Network>,
    hosts: Vec<Host>,
    watchdog: Watchdog,
}

/// A machine, whether or not it runs.
struct Host {
    node: Node,
    program: Program,
    state: HostState,
}

type Program = Box<dyn Fn(Node) -> Pin<Box<dyn Future<Output = Exit> + Send>>>;

enum HostState {
    /// Starts at the next step.
    Starting,
    Runs(Machine),
    /// Until then.
    Stalled(Machine, Duration),
    /// Its program came to its end, or it crashed.
    Down,
}

impl Sim {
    /// A simulation without nodes. Seeds `fastrand` on this thread.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        fastrand::seed(seed);
        // By itself, as what is printed by a test that does not end is never shown.
        let tell = move |step: &Step| drop(writeln!(io::stderr(), "simulation with seed {seed}, {step}"));
        let watchdog = Watchdog::new(TURN_MAX, tell);
        Self { seed, network: Arc::new(Network::new(!seed)), hosts: Vec::new(), watchdog }
    }

    /// Adds a machine of this name, a URL as names of nodes are, and a program, which starts when the simulation next runs.
    ///
    /// The program ends when its future does, as a process at the end of `main`: with all tasks that are left. Its error
    /// fails the test. It is called again for each restart, and finds nothing of its former life but what the test keeps.
    ///
    /// # Panics
    /// There is one of this name.
    pub fn node<F>(&mut self, name: impl Into<Arc<str>>, program: impl Fn(Node) -> F + 'static)
    where
        F: Future<Output = Exit> + Send + 'static,
    {
        let name = name.into();
        assert!(!self.hosts.iter().any(|host| host.node.name == name), "there are two nodes of the name {name}");
        let place = self.network.with(|state| state.add_host(Arc::clone(&name)));
        let node = Node { name, place, network: Arc::clone(&self.network) };
        let program = Box::new(move |node| Box::pin(program(node)) as Pin<Box<dyn Future<Output = Exit> + Send>>);
        self.hosts.push(Host { node, program, state: HostState::Starting });
    }

    /// How long the simulation has run.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.network.now()
    }

    /// A number for all that has happened on the network so far: two runs that were the same have the same.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.network.with(|state| state.digest())
    }

    /// Runs for so long.
    ///
    /// # Panics
    /// A node has panicked, or its program has failed.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.elapsed() + time;
        while self.elapsed() < end {
            self.step(end);
        }
    }

    /// Runs until the condition holds, which is looked at between the steps.
    ///
    /// # Panics
    /// It does not in so long; or a node has panicked, or its program has failed.
    pub fn run_until(&mut self, limit: Duration, mut condition: impl FnMut() -> bool) {
        let end = self.elapsed() + limit;
        while !condition() {
            if self.elapsed() >= end {
                self.fail(format_args!("it did not come to be in {limit:?}"));
            }
            self.step(end);
        }
    }

    /// Runs until the program of this node has come to its end.
    ///
    /// # Panics
    /// It does not in so long; or a node has panicked, or its program has failed.
    pub fn run_to_end(&mut self, name: &str, limit: Duration) {
        let end = self.elapsed() + limit;
        while !matches!(self.host(name).state, HostState::Down) {
            if self.elapsed() >= end {
                self.fail(format_args!("{name} has not come to its end in {limit:?}"));
            }
            self.step(end);
        }
    }

    /// One step, up to this time at most.
    fn step(&mut self, end: Duration) {
        let now = self.elapsed();
        let due = self.network.with(|state| state.arrive());
        let mut then = due.unwrap_or(Duration::MAX).min(now + QUIET_STEP).min(end);
        let mut order: Vec<usize> = (0..self.hosts.len()).collect();
        self.network.with(|state| state.shuffle(&mut order));
        for index in order.iter().copied() {
            let resumes = self.ready(index, now);
            then = then.min(resumes.unwrap_or(then));
        }
        then = then.max(now + TICK);
        for index in order {
            then = self.turn(index, now, then);
        }
        self.network.with(|state| state.set_now(then));
    }

    /// Starts a machine that is to start, and lets one that was stalled go on. Gives when it will.
    fn ready(&mut self, index: usize, now: Duration) -> Option<Duration> {
        let host = self.hosts.get_mut(index)?;
        host.state = match std::mem::replace(&mut host.state, HostState::Down) {
            HostState::Starting => {
                let _turn = self.watchdog.begin(&host.node.name, now);
                let program = (host.program)(host.node.clone());
                HostState::Runs(Machine::start(&self.network, program))
            }
            HostState::Stalled(machine, until) if until > now => {
                host.state = HostState::Stalled(machine, until);
                return Some(until);
            }
            HostState::Stalled(mut machine, _) => {
                let turn = self.watchdog.begin(&host.node.name, now);
                let ((), panics) = panics::watch(|| machine.skip_to(now));
                drop(turn);
                host.state = HostState::Runs(machine);
                self.judge(index, &panics);
                return None;
            }
            state @ (HostState::Runs(_) | HostState::Down) => state,
        };
        None
    }

    /// Runs one machine, and gives how far the others may go.
    fn turn(&mut self, index: usize, now: Duration, then: Duration) -> Duration {
        let Some(Host { state: HostState::Runs(machine), node, .. }) = self.hosts.get_mut(index) else { return then };
        // After a step that others made shorter it is ahead of the simulation.
        if machine.now() >= then {
            return then;
        }
        let turn = self.watchdog.begin(&node.name, now);
        let ((), panics) = panics::watch(|| machine.run_until(then));
        drop(turn);
        let stopped = machine.now();
        self.judge(index, &panics);
        then.min(stopped).max(now + TICK)
    }

    /// Sees to a program that has ended, and to panics.
    fn judge(&mut self, index: usize, panics: &[String]) {
        let Some(Host { state, node, .. }) = self.hosts.get_mut(index) else { return };
        let name = Arc::clone(&node.name);
        if let Some(panic) = panics.first() {
            self.fail(format_args!("{name} panicked: {panic}"));
        }
        let (HostState::Runs(machine) | HostState::Stalled(machine, _)) = state else { return };
        match machine.exit() {
            Some(Ok(())) => {
                let place = node.place;
                self.network.with(|state| state.close_all(place));
                *state = HostState::Down;
            }
            Some(Err(error)) => self.fail(format_args!("the program of {name} failed: {error}")),
            None => {}
        }
    }

    fn fail(&self, why: fmt::Arguments<'_>) -> ! {
        panic!("simulation with seed {}, after {:?}: {why}", self.seed, self.elapsed());
    }

    fn host(&mut self, name: &str) -> &mut Host {
        let host = self.hosts.iter_mut().find(|host| *host.node.name == *name);
        host.unwrap_or_else(|| panic!("the simulation has no node of the name {name}"))
    }

    fn place(&mut self, name: &str) -> Place {
        self.host(name).node.place
    }

    fn places(&mut self, a: &str, b: &str) -> (Place, Place) {
        (self.place(a), self.place(b))
    }
}

impl fmt::Debug for Sim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sim").field("seed", &self.seed).field("elapsed", &self.elapsed()).finish_non_exhaustive()
    }
}

/// The smallest step: that of tokio's timers.
const TICK: Duration = Duration::from_millis(1);
/// The largest step, while nothing is under way. Each step costs some microseconds for each node; a longer one would show in
/// what a test measures.
const QUIET_STEP: Duration = Duration::from_millis(8);
/// How long in real time a machine may work at one step before that is told.
const TURN_MAX: Duration = Duration::from_secs(30);
/// When simulations begin by the clocks of their machines: in 2027, which is no leap year and begins on a Friday.
const EPOCH: Duration = Duration::from_secs(1_798_761_600);

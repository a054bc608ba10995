//! Three nodes, each a process of its own, that call each other; one is killed and comes back.
//!
//! This process is the node `ada`. It starts `bob` and `cyd` as children, tells what happens, and ends by itself.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Display;
use std::net::TcpListener;
use std::time::Instant;

use futures_util::StreamExt;
use grid::{Connection, Context, Manager, RemoteError, State};
use tokio::process::{Child, Command};

/// What the nodes do for each other.
#[grid::service(id = 1)]
trait Neighbour {
    /// Answers a greeting.
    async fn hello(&self, from: &str) -> String;

    /// Greets another node, and tells what came back.
    #[rpc(timeout = "2s")]
    async fn greet_for_me(&self, cx: &Context, whom: &str) -> Result<String, RemoteError>;

    /// Waits until this node has a link to another one, or has none.
    #[rpc(timeout = "10s")]
    async fn wait_for(&self, cx: &Context, whom: &str, there: bool) -> Result<(), RemoteError>;
}

/// A node: its name for people, and where the others are.
struct Person {
    name: String,
    places: Places,
}

/// Names for people, and the names of their nodes.
type Places = BTreeMap<String, String>;
type Outcome<T> = Result<T, Box<dyn Error>>;

impl Person {
    fn connection(&self, cx: &Context, whom: &str) -> Result<Connection, RemoteError> {
        let place = self.places.get(whom).ok_or("I know nobody of that name")?;
        cx.peer(place).map_err(|error| error.to_string().into())
    }
}

impl Neighbour for Person {
    async fn hello(&self, from: &str) -> String {
        format!("hello {from}, this is {}, process {}", self.name, std::process::id())
    }

    async fn greet_for_me(&self, cx: &Context, whom: &str) -> Result<String, RemoteError> {
        // Has at most the time that is left of the call being served.
        Ok(NeighbourClient::new(self.connection(cx, whom)?).hello(&self.name).await?)
    }

    async fn wait_for(&self, cx: &Context, whom: &str, there: bool) -> Result<(), RemoteError> {
        wait_for(&self.connection(cx, whom)?, there).await;
        Ok(())
    }
}

async fn wait_for(connection: &Connection, there: bool) {
    let mut changes = connection.changes();
    while let Some(state) = changes.next().await {
        if (state == State::Connected) == there {
            return;
        }
    }
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let Some(name) = arguments.next() else { return tell().await };
    let places = arguments.filter_map(|place| place.split_once('=').map(|(name, url)| (name.into(), url.into())));
    start(&name, &places.collect()).await?.closed().await;
    Ok(())
}

async fn start(name: &str, places: &Places) -> Outcome<Manager> {
    let person = Person { name: name.to_owned(), places: places.clone() };
    let node = Manager::builder(place(places, name)?)
        .peers(places.values().map(String::as_str))
        .shared_secret("mesh example")
        .timeouts(|timeouts| timeouts.reconnect_max = timeouts.reconnect_min)
        .serve(NeighbourServer::new(person));
    Ok(node.start().await?)
}

/// The story, told by ada.
async fn tell() -> Outcome<()> {
    let story = Story { begun: Instant::now() };
    let places = free_places(["ada", "bob", "cyd"])?;
    story.tell(format_args!("three nodes: {places:?}"));
    let ada = start("ada", &places).await?;
    let mut bob_process = spawn("bob", &places)?;
    let mut cyd_process = spawn("cyd", &places)?;
    for connection in ada.connections() {
        connection.ready().await?;
        story.tell(format_args!("ada is connected to {}", connection.remote()));
    }
    let cyd_connection = ada.connection(place(&places, "cyd")?)?;
    let bob = NeighbourClient::new(ada.connection(place(&places, "bob")?)?);
    let cyd = NeighbourClient::new(cyd_connection.clone());

    story.answer("ada calls bob", bob.hello("ada").await);
    story.answer("ada calls cyd", cyd.hello("ada").await);
    story.answer("ada asks bob to call ada back", bob.greet_for_me("ada").await);
    bob.wait_for("cyd", true).await?;
    story.answer("ada asks bob to call cyd", bob.greet_for_me("cyd").await);

    cyd_process.kill().await?;
    story.tell(format_args!("cyd is killed, as by kill -9"));
    wait_for(&cyd_connection, false).await;
    story.answer("ada calls cyd", cyd.hello("ada").await);
    bob.wait_for("cyd", false).await?;
    story.answer("ada asks bob to call cyd", bob.greet_for_me("cyd").await);
    story.answer("ada calls bob, whom it does not concern", bob.hello("ada").await);

    let mut cyd_process = spawn("cyd", &places)?;
    story.tell(format_args!("cyd is started again"));
    wait_for(&cyd_connection, true).await;
    story.answer("ada calls cyd", cyd.hello("ada").await);
    bob.wait_for("cyd", true).await?;
    story.answer("ada asks bob to call cyd", bob.greet_for_me("cyd").await);

    ada.shutdown().await;
    bob_process.kill().await?;
    cyd_process.kill().await?;
    story.tell(format_args!("the end"));
    Ok(())
}

/// Prints lines with the time since the beginning.
struct Story {
    begun: Instant,
}

impl Story {
    fn tell(&self, what: impl Display) {
        println!("{:6.3} s  {what}", self.begun.elapsed().as_secs_f32());
    }

    fn answer(&self, what: &str, outcome: Result<String, impl Display>) {
        match outcome {
            Ok(answer) => self.tell(format_args!("{what}: {answer}")),
            Err(error) => self.tell(format_args!("{what}: FAILED, {error}")),
        }
    }
}

fn place<'a>(places: &'a Places, name: &str) -> Outcome<&'a str> {
    Ok(places.get(name).ok_or("a node must have a place")?)
}

/// Ports that are free now.
fn free_places<const N: usize>(names: [&str; N]) -> Outcome<Places> {
    let listeners: Vec<_> = names.iter().map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    let places = names
        .iter()
        .zip(&listeners)
        .map(|(name, listener)| Ok(((*name).to_owned(), format!("http://{}", listener.local_addr()?))));
    places.collect()
}

/// Starts this program again, as another node. It ends with this one.
fn spawn(name: &str, places: &Places) -> Outcome<Child> {
    let places = places.iter().map(|(name, url)| format!("{name}={url}"));
    Ok(Command::new(std::env::current_exe()?).arg(name).args(places).kill_on_drop(true).spawn()?)
}

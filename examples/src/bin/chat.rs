//! A chat between nodes: items in both directions, free to interleave.
//!
//! Two nodes join the room of a third. The room reads what each says while it sends it what others say: an end that reads
//! only when it has sent could wait for an end that does the same. A node says three things at most, for which there is
//! always a credit.

use std::net::TcpListener;

use grid::{Connection, Context, Inbound, Manager, Outbound, RemoteError};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Said {
    by: String,
    text: String,
}

#[grid::service(id = 5)]
trait Room {
    /// Joins: what the caller says goes to all, what others say to the caller, until it has no more to say.
    async fn join(
        &self,
        cx: &Context,
        name: &str,
        says: Inbound<String>,
        hears: Outbound<Said>,
    ) -> Result<(), RemoteError>;
}

struct Hall {
    all: broadcast::Sender<Said>,
}

impl Hall {
    /// Whoever is not there does not hear it.
    fn tell_all(&self, by: &str, text: impl Into<String>) {
        let said = Said { by: by.to_owned(), text: text.into() };
        println!("{}: {}", said.by, said.text);
        self.all.send(said).ok();
    }
}

impl Room for Hall {
    async fn join(
        &self,
        cx: &Context,
        name: &str,
        mut says: Inbound<String>,
        hears: Outbound<Said>,
    ) -> Result<(), RemoteError> {
        let mut all = self.all.subscribe();
        self.tell_all("room", format!("{name} comes in from {}", cx.caller()));
        let saying = async {
            while let Some(text) = says.next().await {
                self.tell_all(name, text?);
            }
            Ok::<_, RemoteError>(())
        };
        let hearing = async {
            loop {
                // One that hears too slowly has missed something, and is shown out.
                let said = all.recv().await.map_err(|error| error.to_string())?;
                if said.by != name && !said.text.starts_with(name) {
                    hears.send(said).await?;
                }
            }
        };
        tokio::select! {
            said = saying => said?,
            shown_out = hearing => return shown_out,
        }
        self.tell_all("room", format!("{name} leaves"));
        Ok(())
    }
}

/// Answers what it hears, a few times, and leaves. Gives how much it has heard.
async fn talk(room: Connection, name: &str) -> Result<usize, Box<dyn std::error::Error>> {
    let (says, mut hears) = RoomClient::new(room).join(name).await?;
    let mut heard = 0;
    while heard < 3
        && let Some(said) = hears.next().await
    {
        heard += 1;
        if says.send(format!("that is {heard}, {}", said?.by)).await.is_err() {
            break;
        }
    }
    says.finish().await.ok();
    // What is still said on the way out, up to the end, which tells whether all went well.
    while let Some(said) = hears.next().await {
        said?;
        heard += 1;
    }
    Ok(heard)
}

/// A node at a port of its own, which knows the names of all three.
async fn node(listener: TcpListener, name: &str, names: &[String; 3]) -> Result<Manager, Box<dyn std::error::Error>> {
    let builder = Manager::builder(name).peers(names.iter().map(String::as_str)).listener(listener);
    Ok(builder.serve(RoomServer::new(Hall { all: broadcast::channel(64).0 })).start().await?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let bind = || TcpListener::bind("127.0.0.1:0");
    let listeners = [bind()?, bind()?, bind()?];
    let mut names = <[String; 3]>::default();
    for (name, listener) in names.iter_mut().zip(&listeners) {
        *name = format!("http://{}", listener.local_addr()?);
    }
    let [room, ada, bob] = listeners;
    let [name, other, another] = &names;
    let room = node(room, name, &names).await?;
    let (ada, bob) = (node(ada, other, &names).await?, node(bob, another, &names).await?);

    let (from_ada, from_bob) = (ada.connection(name)?, bob.connection(name)?);
    from_ada.ready().await?;
    from_bob.ready().await?;
    let (by_ada, by_bob) = tokio::join!(talk(from_ada, "ada"), talk(from_bob, "bob"));
    println!("ada heard {} lines, bob {}", by_ada?, by_bob?);
    for node in [ada, bob, room] {
        node.shutdown().await;
    }
    Ok(())
}

//! A TCP proxy in front of a node, which does to its links what networks do: it resets them, closes one direction,
//! stalls, trickles, and swallows. It never changes, repeats or reorders a byte.
//!
//! The node behind it has the name of the proxy, so that whoever dials the node goes through here.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use grid::{Manager, ManagerBuilder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

use crate::mesh::{Place, quick};

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From who dials to the node behind the proxy.
    In,
    /// From the node behind the proxy to who dials.
    Out,
}

/// Both ways.
pub const WAYS: [Way; 2] = [Way::In, Way::Out];

/// How bytes of one way are treated, on the links there are and on new ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// They pass.
    Free,
    /// They are not taken: the sender fills the buffers of the system, and waits.
    Stalled,
    /// They are taken, and nothing arrives, nor an end. A link that has lost bytes so carries none that way any more.
    Swallowed,
    /// So many pass at a time.
    Trickling { bytes: usize, every: Duration },
}

/// A proxy, which ends with all its links when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    name: String,
    behind: Place,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    target: SocketAddr,
    cuts: watch::Sender<()>,
    halves: [watch::Sender<()>; 2],
    paces: [watch::Sender<Pace>; 2],
    refusing: AtomicBool,
    opened: AtomicUsize,
}

impl Proxy {
    /// A proxy at a port of its own, with a place for a node behind it.
    ///
    /// # Panics
    /// Loopback has no free port.
    pub fn start() -> Self {
        let behind = Place::new();
        let listener = listen().expect("loopback has a free port");
        let name = format!("http://{}", listener.local_addr().expect("it is bound"));
        let shared = Arc::new(Shared {
            target: behind.listener.local_addr().expect("it is bound"),
            cuts: watch::Sender::default(),
            halves: Default::default(),
            paces: WAYS.map(|_| watch::Sender::new(Pace::Free)),
            refusing: AtomicBool::default(),
            opened: AtomicUsize::default(),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { name, behind, shared, accepting }
    }

    /// The name of the node behind it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A builder for the node behind it, with short pauses between its attempts to connect.
    ///
    /// # Panics
    /// No descriptor is free.
    pub fn builder(&self) -> ManagerBuilder {
        let listener = self.behind.listener.try_clone().expect("a descriptor is free");
        quick(Manager::builder(self.name.clone())).listener(listener)
    }

    /// Resets every link there is, at both ends.
    pub fn cut(&self) {
        self.shared.cuts.send_replace(());
    }

    /// Ends one way of every link there is, as if its sender had closed it. The other way goes on.
    pub fn close_half(&self, way: Way) {
        self.shared.halves[way as usize].send_replace(());
    }

    /// Treats the bytes of one way so from now on.
    pub fn set(&self, way: Way, pace: Pace) {
        self.shared.paces[way as usize].send_replace(pace);
    }

    /// Treats the bytes of both ways so from now on.
    pub fn set_both(&self, pace: Pace) {
        WAYS.into_iter().for_each(|way| self.set(way, pace));
    }

    /// While it refuses, whoever dials is reset at once.
    pub fn set_refusing(&self, refusing: bool) {
        self.shared.refusing.store(refusing, Ordering::SeqCst);
    }

    /// How many links reached the node so far.
    pub fn opened(&self) -> usize {
        self.shared.opened.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn listen() -> io::Result<TcpListener> {
    let socket = socket()?;
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    socket.listen(128)
}

/// Sockets that the listener accepts have its buffers.
fn socket() -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(BUFFER_BYTES)?;
    Ok(socket)
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut links = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (near, _) = accepted.expect("a descriptor is free");
                if shared.refusing.load(Ordering::SeqCst) {
                    reset(&near);
                } else {
                    links.spawn(carry(near, Arc::clone(&shared), shared.cuts.subscribe()));
                }
            }
            Some(link) = links.join_next() => link.expect("links do not panic"),
        }
    }
}

/// One link, until both ways have ended or it is cut.
async fn carry(mut near: TcpStream, shared: Arc<Shared>, mut cuts: watch::Receiver<()>) {
    let far = tokio::select! {
        far = dial(shared.target) => far,
        _ = cuts.changed() => return reset(&near),
    };
    let Ok(mut far) = far else { return reset(&near) };
    shared.opened.fetch_add(1, Ordering::SeqCst);
    let carried = {
        let ((from_near, to_near), (from_far, to_far)) = (near.split(), far.split());
        let both = async {
            tokio::try_join!(pump(from_near, to_far, &shared, Way::In), pump(from_far, to_near, &shared, Way::Out))
        };
        tokio::select! {
            carried = both => carried.is_ok(),
            _ = cuts.changed() => false,
        }
    };
    if !carried {
        reset(&near);
        reset(&far);
    }
}

async fn dial(target: SocketAddr) -> io::Result<TcpStream> {
    socket()?.connect(target).await
}

/// The socket says so when it is dropped.
fn reset(stream: &TcpStream) {
    // Who is reset already cannot be told.
    stream.set_zero_linger().ok();
}

/// One way of a link.
async fn pump(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, shared: &Shared, way: Way) -> io::Result<()> {
    to.as_ref().set_nodelay(true)?;
    let mut paces = shared.paces[way as usize].subscribe();
    let mut halves = shared.halves[way as usize].subscribe();
    let mut bytes = vec![0; PUMP_BYTES];
    let mut is_open = true;
    let mut is_lossy = false;
    loop {
        let pace = *paces.borrow_and_update();
        let pace = if is_lossy { Pace::Swallowed } else { pace };
        let room = match pace {
            Pace::Stalled => 0,
            Pace::Trickling { bytes, .. } => bytes.min(PUMP_BYTES),
            Pace::Free | Pace::Swallowed => PUMP_BYTES,
        };
        // Only the reading may be given up: what has been read is passed on whole.
        let read = tokio::select! {
            biased;
            Ok(()) = halves.changed() => {
                is_open = false;
                to.shutdown().await?;
                continue;
            }
            Ok(()) = paces.changed() => continue,
            read = from.read(&mut bytes[..room]), if room > 0 => read?,
        };
        match pace {
            Pace::Swallowed if read == 0 => return Ok(()),
            Pace::Swallowed => is_lossy = true,
            _ if !is_open && read == 0 => return Ok(()),
            _ if !is_open => continue,
            _ if read == 0 => return to.shutdown().await,
            _ => to.write_all(&bytes[..read]).await?,
        }
        if let Pace::Trickling { every, .. } = pace {
            sleep(every).await;
        }
    }
}

/// What is read at once.
const PUMP_BYTES: usize = 16 << 10;
/// What the system keeps of each way, before the sender notices that nothing is taken. It doubles it.
const BUFFER_BYTES: u32 = 64 << 10;

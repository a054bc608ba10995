//! Links in memory, which can be cut, black-holed and frozen, for tests under virtual time.

use std::collections::HashMap;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use grid::{BoxIo, Connector, Manager, ManagerBuilder};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};
use tokio::time::Instant;
use twox_hash::XxHash3_64;

/// A network of nodes in one process. Clones are the same network.
#[derive(Clone, Default)]
pub struct Network {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    nodes: Mutex<HashMap<String, Manager>>,
    links: Mutex<Vec<Arc<Fault>>>,
    down: AtomicBool,
    frozen: AtomicBool,
    dials: Mutex<Vec<Instant>>,
    traffic: [Counts; 2],
    open_ends: AtomicUsize,
}

/// What went through one end of all links.
#[derive(Default)]
struct Counts {
    read: AtomicU64,
    written: AtomicU64,
}

/// The bytes that all dialling or all accepting ends have read and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traffic {
    pub read: u64,
    pub written: u64,
}

/// What is done to one link.
#[derive(Default)]
struct Fault {
    cut: AtomicBool,
    silent: AtomicBool,
    /// The dialling end reads nothing.
    held: AtomicBool,
    wakers: Mutex<Vec<Waker>>,
}

impl Network {
    /// A builder for a node of this name, which dials through this network.
    pub fn builder(&self, name: &str) -> ManagerBuilder {
        Manager::builder(name).connector(self.clone())
    }

    /// Two nodes that are connected, each with what it serves. The left one dials, the right one is dialled.
    pub async fn pair(
        &self,
        left: impl FnOnce(ManagerBuilder) -> ManagerBuilder,
        right: impl FnOnce(ManagerBuilder) -> ManagerBuilder,
    ) -> (Manager, Manager) {
        let (dialling, dialled) = names();
        let right = right(self.builder(&dialled).peers([&*dialling])).build().expect("the right node starts");
        self.add(&right);
        let left = left(self.builder(&dialling).peers([&*dialled])).build().expect("the left node starts");
        within(left.connection(&dialled).expect("a peer").ready()).await.expect("not shut down");
        within(right.connection(&dialling).expect("a peer").ready()).await.expect("not shut down");
        (left, right)
    }

    /// Brings connections for `node` to it. The network holds a handle to it until it is removed, and one more for each
    /// of its links.
    pub fn add(&self, node: &Manager) {
        self.inner.nodes.lock().unwrap().insert(node.name().to_owned(), node.clone());
    }

    /// Nobody brings connections to this node any more.
    pub fn remove(&self, name: &str) {
        self.inner.nodes.lock().unwrap().remove(name);
    }

    /// While down, every attempt to connect fails.
    pub fn set_down(&self, down: bool) {
        self.inner.down.store(down, Ordering::SeqCst);
    }

    /// When attempts to connect began, so far.
    pub fn dials(&self) -> Vec<Instant> {
        self.inner.dials.lock().unwrap().clone()
    }

    /// Frees what [`dials`](Self::dials) has kept.
    pub fn forget_dials(&self) {
        *self.inner.dials.lock().unwrap() = Vec::new();
    }

    /// What the dialling ends have read and written so far, and what the accepting ends have.
    pub fn traffic(&self) -> [Traffic; 2] {
        [End::Dialling, End::Accepting].map(|end| {
            let counts = &self.inner.traffic[end as usize];
            Traffic { read: counts.read.load(Ordering::SeqCst), written: counts.written.load(Ordering::SeqCst) }
        })
    }

    /// Ends of links that their nodes have not closed.
    pub fn open_ends(&self) -> usize {
        self.inner.open_ends.load(Ordering::SeqCst)
    }

    /// Cuts every link there is.
    pub fn cut(&self) {
        for fault in self.inner.links.lock().unwrap().drain(..) {
            fault.cut.store(true, Ordering::SeqCst);
            fault.wake();
        }
    }

    /// From now on nothing arrives on any link there is, and nothing says so.
    pub fn silence(&self) {
        for fault in self.inner.links.lock().unwrap().iter() {
            fault.silent.store(true, Ordering::SeqCst);
        }
    }

    /// From now on the dialling end of each link there is reads nothing.
    pub fn hold_dialling(&self) {
        for fault in self.inner.links.lock().unwrap().iter() {
            fault.held.store(true, Ordering::SeqCst);
        }
    }

    /// Nothing arrives on any link, also on new ones, until the network is thawed. What is sent meanwhile is kept.
    pub fn freeze(&self) {
        self.inner.frozen.store(true, Ordering::SeqCst);
        self.silence();
    }

    /// All links flow again.
    pub fn thaw(&self) {
        self.inner.frozen.store(false, Ordering::SeqCst);
        for fault in self.inner.links.lock().unwrap().iter() {
            fault.silent.store(false, Ordering::SeqCst);
            fault.held.store(false, Ordering::SeqCst);
            fault.wake();
        }
    }
}

impl Connector for Network {
    fn connect<'a>(&'a self, name: &'a str) -> Pin<Box<dyn Future<Output = io::Result<BoxIo>> + Send + 'a>> {
        Box::pin(async move {
            self.inner.dials.lock().unwrap().push(Instant::now());
            let node = self.inner.nodes.lock().unwrap().get(name).cloned();
            let Some(node) = node.filter(|_| !self.inner.down.load(Ordering::SeqCst)) else {
                return Err(io::ErrorKind::ConnectionRefused.into());
            };
            let (near, far) = duplex(LINK_BYTES);
            let fault = Arc::new(Fault::default());
            fault.silent.store(self.inner.frozen.load(Ordering::SeqCst), Ordering::SeqCst);
            self.inner.add_link(&fault);
            let faulty = |io, end| Faulty::new(io, end, &fault, &self.inner);
            let far = faulty(far, End::Accepting);
            tokio::spawn(async move { node.accept(far).await });
            Ok(Box::new(faulty(near, End::Dialling)) as BoxIo)
        })
    }
}

impl Inner {
    /// Keeps hold of a link, and forgets those whose ends are both closed.
    fn add_link(&self, fault: &Arc<Fault>) {
        let mut links = self.links.lock().unwrap();
        links.retain(|link| Arc::strong_count(link) > 1);
        links.push(Arc::clone(fault));
    }
}

impl Fault {
    fn wake(&self) {
        self.wakers.lock().unwrap().drain(..).for_each(Waker::wake);
    }

    fn is_cut(&self, cx: &Context<'_>) -> bool {
        let mut wakers = self.wakers.lock().unwrap();
        wakers.retain(|waker| !waker.will_wake(cx.waker()));
        wakers.push(cx.waker().clone());
        drop(wakers);
        self.cut.load(Ordering::SeqCst)
    }
}

/// Which end of a link.
#[derive(Clone, Copy)]
enum End {
    Dialling,
    Accepting,
}

struct Faulty {
    io: DuplexStream,
    end: End,
    fault: Arc<Fault>,
    network: Arc<Inner>,
}

impl Faulty {
    fn new(io: DuplexStream, end: End, fault: &Arc<Fault>, network: &Arc<Inner>) -> Self {
        network.open_ends.fetch_add(1, Ordering::SeqCst);
        Self { io, end, fault: Arc::clone(fault), network: Arc::clone(network) }
    }

    fn counts(&self) -> &Counts {
        &self.network.traffic[self.end as usize]
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        self.network.open_ends.fetch_sub(1, Ordering::SeqCst);
    }
}

impl AsyncRead for Faulty {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.fault.is_cut(cx) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let held = matches!(self.end, End::Dialling) && self.fault.held.load(Ordering::SeqCst);
        if held || self.fault.silent.load(Ordering::SeqCst) {
            return Poll::Pending;
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        self.counts().read.fetch_add((buf.filled().len() - before) as u64, Ordering::SeqCst);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Faulty {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.fault.is_cut(cx) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let written = ready!(Pin::new(&mut self.io).poll_write(cx, bytes))?;
        self.counts().written.fetch_add(written as u64, Ordering::SeqCst);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.fault.is_cut(cx) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let written = ready!(Pin::new(&mut self.io).poll_write_vectored(cx, bytes))?;
        self.counts().written.fetch_add(written as u64, Ordering::SeqCst);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// Whether the first of two nodes dials the second, rather than the other way round.
pub fn dials(first: &str, second: &str) -> bool {
    let hash = |first: &str, second: &str| XxHash3_64::oneshot(format!("{first}{second}").as_bytes());
    hash(first, second) < hash(second, first)
}

/// Two names of which the first one dials the second.
pub fn names() -> (String, String) {
    let dialled = "http://dialled:1";
    let mut names = (0..).map(|number| format!("http://dialling-{number}:1"));
    (names.find(|name| dials(name, dialled)).expect("half of all names dial"), dialled.to_owned())
}

/// The output of a future that must end within an hour of virtual time.
///
/// # Panics
/// It does not.
pub async fn within<F: IntoFuture>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(3600), future).await.expect("it ends within an hour of virtual time")
}

/// Lets every task run until it waits: virtual time moves on, by a millisecond, only then.
pub async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// What fits into a link in each direction, as into the buffers of two sockets.
pub const LINK_BYTES: usize = 64 << 10;

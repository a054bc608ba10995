//! Links in memory, which can be cut and black-holed, for tests under virtual time.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use grid::{BoxIo, Connector, Manager};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};

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
    dialled: AtomicUsize,
}

/// What is done to one link.
#[derive(Default)]
struct Fault {
    cut: AtomicBool,
    silent: AtomicBool,
    wakers: Mutex<Vec<Waker>>,
}

impl Network {
    /// Brings connections for `node` to it.
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

    /// Attempts to connect so far.
    pub fn dialled(&self) -> usize {
        self.inner.dialled.load(Ordering::SeqCst)
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
}

impl Connector for Network {
    fn connect<'a>(&'a self, name: &'a str) -> Pin<Box<dyn Future<Output = io::Result<BoxIo>> + Send + 'a>> {
        Box::pin(async move {
            self.inner.dialled.fetch_add(1, Ordering::SeqCst);
            let node = self.inner.nodes.lock().unwrap().get(name).cloned();
            let Some(node) = node.filter(|_| !self.inner.down.load(Ordering::SeqCst)) else {
                return Err(io::ErrorKind::ConnectionRefused.into());
            };
            let (near, far) = duplex(64 << 10);
            let fault = Arc::new(Fault::default());
            self.inner.links.lock().unwrap().push(Arc::clone(&fault));
            let far = Faulty { io: far, fault: Arc::clone(&fault) };
            tokio::spawn(async move { node.accept(far).await });
            Ok(Box::new(Faulty { io: near, fault }) as BoxIo)
        })
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

struct Faulty {
    io: DuplexStream,
    fault: Arc<Fault>,
}

impl AsyncRead for Faulty {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.fault.is_cut(cx) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if self.fault.silent.load(Ordering::SeqCst) {
            return Poll::Pending;
        }
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Faulty {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.fault.is_cut(cx) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

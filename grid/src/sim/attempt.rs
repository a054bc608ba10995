//! Attempts to connect: a question that travels to the node, and its answer that travels back.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::network::{Network, WireId};
use super::routes::Place;
use super::socket::Socket;
use super::wire::Side;
use crate::transport::BoxIo;

#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) from: Place,
    pub(super) to: Place,
    /// When it gets where it goes to, if the way is open then.
    pub(super) due: Duration,
    pub(super) stage: Stage,
    pub(super) waker: Option<Waker>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Asking,
    Answering(Answer),
    Answered(Answer),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Connected(WireId),
    /// Nobody listens there.
    Refused,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct AttemptId(pub(super) u64);

impl Attempt {
    /// Whence and whither it travels just now; nowhere once it is over.
    pub(super) fn travels(&self) -> Option<(Place, Place)> {
        match self.stage {
            Stage::Asking => Some((self.from, self.to)),
            Stage::Answering(_) => Some((self.to, self.from)),
            Stage::Answered(_) => None,
        }
    }
}

/// Waits for the answer. Dropped before, the attempt is given up.
pub(super) struct Dial {
    pub(super) network: Arc<Network>,
    pub(super) attempt: AttemptId,
}

impl Future for Dial {
    type Output = io::Result<BoxIo>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = self.network.with(|state| state.poll_answer(self.attempt, cx));
        answer.map(|answer| match answer {
            Answer::Connected(wire) => Ok(Box::new(Socket::new(&self.network, wire, Side::Dialler)) as BoxIo),
            Answer::Refused => Err(io::ErrorKind::ConnectionRefused.into()),
        })
    }
}

impl Drop for Dial {
    fn drop(&mut self) {
        self.network.with(|state| state.give_up(self.attempt));
    }
}

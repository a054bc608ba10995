//! Handshakes in progress, of whoever connects.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::hits::{Hits, Limit};

/// Places for handshakes. When all are taken and somebody waits, the oldest one is given up that has had its share of
/// the time: those who connect and say nothing keep nobody else out for long.
#[derive(Debug)]
pub(crate) struct Handshakes {
    places: Arc<Semaphore>,
    max: usize,
    /// After this long a handshake may be given up.
    share: Duration,
    running: Mutex<Running>,
    hits: Arc<Hits>,
}

#[derive(Debug, Default)]
struct Running {
    /// By their numbers, and so in the order in which they began.
    begun: BTreeMap<u64, (Instant, CancellationToken)>,
    next: u64,
}

/// A place for a handshake, until it is dropped.
#[derive(Debug)]
pub(crate) struct Handshake {
    handshakes: Arc<Handshakes>,
    number: u64,
    given_up: CancellationToken,
    _place: OwnedSemaphorePermit,
}

impl Handshakes {
    pub(crate) fn new(max: usize, timeout: Duration, hits: Arc<Hits>) -> Self {
        let places = Arc::new(Semaphore::new(max));
        Self { places, max, share: timeout / SHARES, running: Mutex::default(), hits }
    }

    pub(crate) fn in_progress(&self) -> usize {
        self.max - self.places.available_permits()
    }

    /// A place, if there is one. Else the oldest handshake that has had its share is given up, so that there will be one
    /// for the next attempt.
    #[cfg(any(feature = "axum", test))]
    pub(crate) fn begin_or_make_room(self: &Arc<Self>) -> Option<Handshake> {
        let begun = self.try_begin();
        if begun.is_none() {
            self.give_up_oldest();
        }
        begun
    }

    fn try_begin(self: &Arc<Self>) -> Option<Handshake> {
        match Arc::clone(&self.places).try_acquire_owned() {
            Ok(place) => Some(self.begun(place)),
            Err(_) => {
                self.hits.add(Limit::Handshakes);
                None
            }
        }
    }

    /// Waits for a place.
    pub(crate) async fn begin(self: &Arc<Self>) -> Handshake {
        if let Some(handshake) = self.try_begin() {
            return handshake;
        }
        let mut place = std::pin::pin!(Arc::clone(&self.places).acquire_owned());
        loop {
            let oldest = self.lock().begun.first_key_value().map(|(_, (began, _))| *began + self.share);
            let give_up = async {
                match oldest {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                place = &mut place => return self.begun(place.expect("nobody closes it")),
                () = give_up => {}
            }
            // One for one: its place comes when its task has seen that.
            if self.give_up_oldest() {
                return self.begun(place.await.expect("nobody closes it"));
            }
        }
    }

    /// False if none has had its share, as somebody else has given up the oldest.
    fn give_up_oldest(&self) -> bool {
        let mut running = self.lock();
        let Some(oldest) = running.begun.first_entry() else { return false };
        if oldest.get().0 + self.share > Instant::now() {
            return false;
        }
        let (_, given_up) = oldest.remove();
        drop(running);
        given_up.cancel();
        true
    }

    fn begun(self: &Arc<Self>, place: OwnedSemaphorePermit) -> Handshake {
        let given_up = CancellationToken::new();
        let mut running = self.lock();
        let number = running.next;
        running.next += 1;
        running.begun.insert(number, (Instant::now(), given_up.clone()));
        drop(running);
        Handshake { handshakes: Arc::clone(self), number, given_up, _place: place }
    }

    fn lock(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Handshake {
    /// What a handshake comes to; `None` if it was given up.
    pub(crate) async fn run<F: Future>(&self, handshake: F) -> Option<F::Output> {
        self.given_up.run_until_cancelled(handshake).await
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        self.handshakes.lock().begun.remove(&self.number);
    }
}

/// A fifth of the time for a handshake is its own: a second, in which an honest one ends over any network.
const SHARES: u32 = 5;

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_is_turned_away_for_want_of_a_place_makes_room_for_the_next() {
        let handshakes = Arc::new(Handshakes::new(1, Duration::from_secs(5), Arc::default()));
        let silent = handshakes.begin_or_make_room().expect("there is a place");
        assert!(handshakes.begin_or_make_room().is_none(), "it has its share");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(handshakes.begin_or_make_room().is_none());
        assert_eq!(silent.run(pending::<()>()).await, None, "it is given up");
        drop(silent);
        assert!(handshakes.begin_or_make_room().is_some());
    }
}

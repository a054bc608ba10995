//! A value whose changes can be waited for.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// A value that others watch. Who waits for its change is woken in the order of coming: tokio's `watch` draws an order at
/// random, which a simulation could not repeat.
#[derive(Debug)]
pub(crate) struct Changing<T> {
    inner: Arc<Inner<T>>,
}

#[derive(Debug)]
struct Inner<T> {
    current: Mutex<Current<T>>,
    changed: Notify,
}

#[derive(Debug)]
struct Current<T> {
    value: T,
    /// Of this value. Who has seen none has seen version 0.
    version: u64,
    is_last: bool,
}

/// Sees the latest value, and each once.
#[derive(Debug)]
pub(crate) struct Watcher<T> {
    inner: Arc<Inner<T>>,
    seen: u64,
}

impl<T: Clone> Changing<T> {
    pub(crate) fn new(value: T) -> Self {
        let current = Mutex::new(Current { value, version: 1, is_last: false });
        Self { inner: Arc::new(Inner { current, changed: Notify::new() }) }
    }

    pub(crate) fn get(&self) -> T {
        self.inner.lock().value.clone()
    }

    /// `change` says whether it has changed the value.
    pub(crate) fn modify(&self, change: impl FnOnce(&mut T) -> bool) {
        let mut current = self.inner.lock();
        if change(&mut current.value) {
            current.version += 1;
            drop(current);
            self.inner.changed.notify_waiters();
        }
    }

    pub(crate) fn watch(&self) -> Watcher<T> {
        Watcher { inner: Arc::clone(&self.inner), seen: 0 }
    }
}

impl<T> Drop for Changing<T> {
    fn drop(&mut self) {
        self.inner.lock().is_last = true;
        self.inner.changed.notify_waiters();
    }
}

impl<T: Clone> Watcher<T> {
    /// The value, at once if it has not been seen. `None`: it was seen, and there will be no other.
    ///
    /// # Cancel safety
    /// Dropped before its end, it has seen nothing.
    pub(crate) async fn next(&mut self) -> Option<T> {
        loop {
            let changed = self.inner.changed.notified();
            {
                let current = self.inner.lock();
                if current.version != self.seen {
                    self.seen = current.version;
                    return Some(current.value.clone());
                }
                if current.is_last {
                    return None;
                }
            }
            changed.await;
        }
    }
}

impl<T> Inner<T> {
    fn lock(&self) -> MutexGuard<'_, Current<T>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn each_value_is_seen_once_and_the_last_one_also_after_the_end() {
        let changing = Changing::new(1);
        let mut watcher = changing.watch();
        assert_eq!(watcher.next().now_or_never(), Some(Some(1)));
        assert_eq!(watcher.next().now_or_never(), None);
        changing.modify(|_| false);
        assert_eq!(watcher.next().now_or_never(), None);
        for value in 2..4 {
            changing.modify(|current| std::mem::replace(current, value) != value);
        }
        assert_eq!((watcher.next().now_or_never(), changing.get()), (Some(Some(3)), 3));
        changing.modify(|current| std::mem::replace(current, 4) != 4);
        drop(changing);
        assert_eq!(watcher.next().now_or_never(), Some(Some(4)));
        assert_eq!(watcher.next().now_or_never(), Some(None));
    }

    #[tokio::test]
    async fn who_waits_is_woken_in_the_order_of_coming() {
        let (changing, woken) = (Changing::new(0), Arc::new(Mutex::new(Vec::new())));
        let waiting: Vec<_> = (0..20)
            .map(|number| {
                let (mut watcher, woken) = (changing.watch(), Arc::clone(&woken));
                tokio::spawn(async move {
                    watcher.next().await;
                    watcher.next().await;
                    woken.lock().unwrap().push(number);
                })
            })
            .collect();
        tokio::task::yield_now().await;
        changing.modify(|value| std::mem::replace(value, 1) != 1);
        for waiting in waiting {
            waiting.await.unwrap();
        }
        assert!(woken.lock().unwrap().is_sorted());
    }
}

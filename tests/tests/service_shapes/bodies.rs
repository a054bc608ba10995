//! Methods with bodies, and code that is generic over a service.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use grid::{Context, RemoteError};

use super::serving;

#[grid::service(id = 1)]
trait Counter {
    /// The one method to write.
    async fn add(&self, amount: u32) -> u32;

    async fn increment(&self) -> u32 {
        self.add(1).await
    }

    async fn twice(&self, amount: u32, label: &str) -> Result<String, RemoteError> {
        if amount == 0 {
            return Err("nothing to add".into());
        }
        let first = self.add(amount).await;
        let second = self.checked(amount).await?;
        Ok(format!("{label}: {first}, {second}"))
    }

    async fn checked(&self, amount: u32) -> Result<u32, RemoteError> {
        match amount {
            100.. => Err(RemoteError::new("too much")),
            _ => Ok(self.add(amount).await),
        }
    }

    async fn who(&self, cx: &Context, before: String) -> String {
        let name = cx.handler_id();
        tokio::task::yield_now().await;
        before + &name.to_string()
    }

    async fn nothing(&self, _unused: String) {}

    async fn never(&self) -> u32 {
        std::future::pending().await
    }

    async fn diverges(&self) -> Result<Vec<u8>, RemoteError> {
        unimplemented!("on purpose")
    }

    async fn coerces(&self) -> Box<[u8]> {
        Box::new([1, 2])
    }

    async fn inner_items(&self, text: &str) -> usize {
        fn length(text: &str) -> usize {
            text.len()
        }
        #[allow(clippy::let_and_return, reason = "a statement with an attribute")]
        let length = length(text);
        length
    }
}

#[derive(Default)]
struct Atomic(AtomicU32);

impl Counter for Atomic {
    async fn add(&self, amount: u32) -> u32 {
        self.0.fetch_add(amount, Ordering::Relaxed) + amount
    }

    async fn nothing(&self, text: String) {
        self.add(text.len() as u32).await;
    }
}

#[tokio::test]
async fn methods_may_have_bodies() {
    let service = Arc::new(Atomic::default());
    let (connection, _nodes) = serving(CounterServer::from(Arc::clone(&service))).await;
    let client = CounterClient::new(connection);
    assert_eq!(client.increment().await, Ok(1));
    assert_eq!(client.twice(2, "two").await.as_deref(), Ok("two: 3, 5"));
    assert!(client.twice(0, "none").await.is_err());
    assert!(client.twice(200, "many").await.is_err());
    assert_eq!(client.who("by ".into()).await.as_deref(), Ok("by 1.5"));
    client.nothing("abc".into()).await.expect("it cannot fail");
    assert_eq!(service.0.load(Ordering::Relaxed), 208);
    assert_eq!(client.coerces().await.as_deref(), Ok(&[1, 2][..]));
    assert_eq!(client.inner_items("abc").await, Ok(3));
    assert!(client.diverges().await.is_err(), "a panic ends its own call");
    assert_eq!(client.increment().await, Ok(209));
}

/// A body that moves its arguments drops them when the future is done, as an `async fn` does.
#[tokio::test]
async fn arguments_live_as_long_as_the_future() {
    struct Plain;
    impl Counter for Plain {
        async fn add(&self, amount: u32) -> u32 {
            amount
        }
    }
    let text = "x".to_owned();
    let future = Plain.nothing(text);
    assert!(std::mem::size_of_val(&future) >= std::mem::size_of::<String>(), "it has moved in");
    future.await;
}

/// Futures are `Send` by signature, so that generic code can spawn.
#[tokio::test]
async fn generic_code_can_spawn() {
    async fn spawned<C: Counter>(counter: Arc<C>) -> u32 {
        let task = tokio::spawn(async move {
            let text = counter.twice(1, "text").await.expect("one is not too much");
            counter.add(u32::try_from(text.len()).expect("short")).await
        });
        task.await.expect("no panic")
    }
    assert_eq!(spawned(Arc::new(Atomic::default())).await, 12);
}

/// A call does not borrow from its arguments.
#[tokio::test]
async fn a_call_can_outlive_its_arguments() {
    let (connection, _nodes) = serving(CounterServer::new(Atomic::default())).await;
    let call = {
        let label = String::from("short");
        CounterClient::new(connection).twice(1, &label)
    };
    let answer = tokio::spawn(async move { call.await }).await.expect("no panic");
    assert_eq!(answer.as_deref(), Ok("short: 1, 2"));
}

//! Three middlewares before a service: who calls what is written down, methods are for some callers only, and nobody calls
//! more often than he may.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use grid::{CallError, CallInfo, Direction, Manager, MethodError, Middleware, Refusal, RefusalReason, Stream};

#[grid::service(id = 1)]
trait Vault {
    async fn balance(&self, account: u32) -> u64;
    async fn wipe(&self);
    fn history(&self, account: u32) -> impl Stream<Item = i64>;
}

struct Safe;

impl Vault for Safe {
    async fn balance(&self, account: u32) -> u64 {
        u64::from(account) * 100
    }

    async fn wipe(&self) {}

    fn history(&self, account: u32) -> impl Stream<Item = i64> {
        futures_util::stream::iter([i64::from(account), -50, 30])
    }
}

/// Writes down each call and each item that the node sends.
struct Journal;

impl Middleware for Journal {
    fn on_item(&self, call: &CallInfo, direction: Direction, item: &[u8]) -> Result<(), Refusal> {
        println!("    {call}: an item of {} bytes goes {direction:?}", item.len());
        Ok(())
    }

    fn on_end(&self, call: &CallInfo, outcome: &Result<(), CallError<MethodError>>) {
        let outcome = match outcome {
            Ok(()) => "ok".to_owned(),
            Err(error) => error.to_string(),
        };
        println!("    {call} by {} under {:?}: {outcome}", call.caller(), call.metadata("ticket"));
    }
}

/// Lets only those wipe who are named here.
struct Rights {
    wipers: Vec<&'static str>,
}

impl Middleware for Rights {
    async fn on_call(&self, call: &mut CallInfo, _request: &[u8]) -> Result<(), Refusal> {
        if call.method() == Some("wipe") && !self.wipers.contains(&call.caller()) {
            return Err(Refusal::new(RefusalReason::Forbidden, format!("{} may not call {call}", call.caller())));
        }
        Ok(())
    }
}

/// Lets each caller in so many times a second.
struct Rate {
    per_second: u32,
    callers: Mutex<HashMap<String, (Instant, u32)>>,
}

impl Middleware for Rate {
    async fn on_call(&self, call: &mut CallInfo, _request: &[u8]) -> Result<(), Refusal> {
        let mut callers = self.callers.lock().expect("nobody panics here");
        let now = Instant::now();
        // What is known of those who have not called for a second is forgotten, so only those who call are remembered.
        callers.retain(|_, (since, _)| now - *since < Duration::from_secs(1));
        let (_, calls) = callers.entry(call.caller().to_owned()).or_insert((now, 0));
        *calls += 1;
        match *calls > self.per_second {
            true => {
                Err(Refusal::new(RefusalReason::Overloaded, format!("more than {} calls a second", self.per_second)))
            }
            false => Ok(()),
        }
    }
}

/// Gives each call of a node a number, which the other side sees.
#[derive(Default)]
struct Ticket(AtomicU64);

impl Middleware for Ticket {
    async fn on_call(&self, call: &mut CallInfo, _request: &[u8]) -> Result<(), Refusal> {
        call.set_metadata("ticket", self.0.fetch_add(1, Ordering::Relaxed).to_string());
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let _vault = Manager::builder("http://127.0.0.1:9000")
        .peers(["http://127.0.0.1:9001", "http://127.0.0.1:9002"])
        .middleware(Journal)
        .middleware(Rights { wipers: vec!["http://127.0.0.1:9001"] })
        .middleware(Rate { per_second: 5, callers: Mutex::default() })
        .serve(VaultServer::new(Safe))
        .start()
        .await?;
    for name in ["http://127.0.0.1:9001", "http://127.0.0.1:9002"] {
        let node =
            Manager::builder(name).peers(["http://127.0.0.1:9000"]).middleware(Ticket::default()).start().await?;
        let connection = node.connection("http://127.0.0.1:9000")?;
        connection.ready().await?;
        let vault = VaultClient::new(connection);
        println!("{name}");
        println!("  balance: {:?}", vault.balance(7).await);
        println!("  wipe: {:?}", vault.wipe().await);
        println!("  history: {:?}", vault.history(7).await?.collect::<Vec<_>>().await);
        for _ in 0..3 {
            println!("  balance: {:?}", vault.balance(7).await);
        }
    }
    Ok(())
}

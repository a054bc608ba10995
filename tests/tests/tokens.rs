//! Tokens that take time to be had or judged, and those who give them and fail. Under virtual time.

use std::future::{IntoFuture, pending};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use grid::{ConnectError, Connection, LinkError, Manager, ManagerBuilder, State};
use grid_tests::memory::{Network, names, within};
use grid_tests::probe::{ECHO, echo};
use tokio::time::{Instant, sleep};

/// The first node dials the second.
fn nodes(
    network: &Network,
    first: impl FnOnce(ManagerBuilder) -> ManagerBuilder,
    second: impl FnOnce(ManagerBuilder) -> ManagerBuilder,
) -> [Manager; 2] {
    let (dialling, dialled) = names();
    let second = second(echo(network.builder(&dialled))).peers([&*dialling]).build().expect("it starts");
    network.add(&second);
    let first = first(echo(network.builder(&dialling))).peers([&*dialled]).build().expect("it starts");
    [first, second]
}

fn connection(node: &Manager) -> Connection {
    node.connections().next().expect("it has a peer")
}

async fn failure(node: &Manager) -> LinkError {
    let mut changes = std::pin::pin!(connection(node).changes());
    loop {
        match within(futures_util::StreamExt::next(&mut changes)).await {
            Some(State::Disconnected(Some(why))) => return why,
            Some(_) => {}
            None => panic!("the node has ended"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_and_a_validator_may_wait() {
    const WAIT: Duration = Duration::from_millis(400);
    let network = Network::default();
    let start = Instant::now();
    let [first, second] = nodes(
        &network,
        |builder| {
            builder.token_source(|name| {
                let token = format!("for {name}");
                async {
                    sleep(WAIT).await;
                    token
                }
            })
        },
        |builder| {
            builder.token_validator(|claim| async move {
                sleep(WAIT).await;
                if claim.token.starts_with("for http://") { Ok(()) } else { Err(claim.token.into()) }
            })
        },
    );
    for node in [&first, &second] {
        within(connection(node).ready()).await.expect("not shut down");
    }
    assert_eq!(start.elapsed(), 2 * WAIT, "the source is asked once, and so is the validator");
}

#[tokio::test(start_paused = true)]
async fn a_validator_that_does_not_end_has_the_time_of_a_handshake() {
    let network = Network::default();
    let [first, _second] = nodes(&network, |builder| builder, |builder| builder.token_validator(|_| pending()));
    let start = Instant::now();
    let why = failure(&first).await;
    assert!(matches!(why, LinkError::HandshakeTimeout | LinkError::Closed(_)), "{why}");
    assert_eq!(start.elapsed(), Duration::from_secs(5), "Timeouts::handshake");
}

#[tokio::test(start_paused = true)]
async fn a_source_that_panics_fails_its_attempt_and_is_asked_again() {
    let network = Network::default();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let source = move |_: &str| {
        let before = count.fetch_add(1, Ordering::SeqCst);
        assert!(before != 0, "before it gives a future");
        async move {
            assert!(before != 1, "in its future");
            String::new()
        }
    };
    let [first, _second] = nodes(&network, |builder| builder.token_source(source), |builder| builder);
    let why = failure(&first).await;
    assert!(why.to_string().contains("the token source panicked"), "{why}");
    within(connection(&first).ready()).await.expect("not shut down");
    assert_eq!(asked.load(Ordering::SeqCst), 3);
}

#[tokio::test(start_paused = true)]
async fn a_validator_that_panics_rejects_that_one_and_no_other() {
    let network = Network::default();
    let node = echo(network.builder("http://node:1")).allow_guests([ECHO.into()]).token_validator(|claim| async move {
        assert!(&*claim.token != "bad", "a bug in the validator");
        Ok(())
    });
    let node = node.build().expect("it starts");
    network.add(&node);
    let guest = |token: &'static str| {
        let guest = grid::connect("http://node:1").connector(network.clone());
        guest.token_source(move |_| std::future::ready(token.to_owned())).into_future()
    };
    let good = within(guest("good")).await.expect("it is let in");
    let why = LinkError::Rejected("auth token: the token validator panicked".into());
    assert_eq!(within(guest("bad")).await.map(|_| ()), Err(ConnectError::Link(why)));
    within(good.single(ECHO, "x").into_future()).await.expect("it goes on");
    within(guest("good")).await.expect("it is let in");
}

#[tokio::test(start_paused = true)]
async fn a_token_of_a_shared_secret_is_of_no_use_at_another_node() {
    let network = Network::default();
    let (dialling, dialled) = names();
    let stolen = Arc::new(std::sync::Mutex::new(None));
    let thief = Arc::clone(&stolen);
    // Answers in the place of a peer, and keeps what it is shown.
    let other = network.builder(&dialled).peers([&*dialling]).token_validator(move |claim| {
        *thief.lock().unwrap() = Some(claim.token);
        std::future::ready(Ok(()))
    });
    let other = other.build().expect("it starts");
    network.add(&other);
    let secret = |builder: ManagerBuilder| builder.shared_secret("secret");
    let honest = secret(network.builder(&dialling)).peers([&*dialled]).build().expect("it starts");
    within(connection(&honest).ready()).await.expect("not shut down");
    let token: Box<str> = stolen.lock().unwrap().take().expect("it was shown a token");
    honest.shutdown().await;
    other.shutdown().await;
    network.remove(&dialled);

    // A third node, to which the thief goes by the name of the first.
    let third =
        (1..).map(|port| format!("http://third:{port}")).find(|name| grid_tests::memory::dials(&dialling, name));
    let third = third.expect("half of all names are dialled");
    let node = secret(network.builder(&third)).peers([&*dialling]).build().expect("it starts");
    network.add(&node);
    let replay = move |_: &str| std::future::ready(token.clone().into_string());
    let thief = network.builder(&dialling).peers([&*third]).token_source(replay).build().expect("it starts");
    let why = failure(&thief).await;
    assert!(why.to_string().contains("or for another node"), "{why}");
}

/// A node that lets guests call [`ECHO`], with what is given to its builder.
fn open_to_guests(network: &Network, with: impl FnOnce(ManagerBuilder) -> ManagerBuilder) -> Manager {
    let node = with(echo(network.builder("http://node:1")).allow_guests([ECHO.into()])).build().expect("it starts");
    network.add(&node);
    node
}

async fn guest_with(network: &Network, secret: &str) -> Result<(), String> {
    let guest = grid::connect("http://node:1").connector(network.clone()).shared_secret(secret);
    within(guest).await.map(|_| ()).map_err(|error| error.to_string())
}

#[tokio::test(start_paused = true)]
async fn a_validator_beside_a_secret_does_not_replace_it() {
    for secret_first in [true, false] {
        let network = Network::default();
        let _node = open_to_guests(&network, |node| {
            let judge = |claim: grid::Claim| async move {
                assert!(claim.name.starts_with("guest://"));
                Ok(())
            };
            match secret_first {
                true => node.shared_secret("secret").token_validator(judge),
                false => node.token_validator(judge).shared_secret("secret"),
            }
        });
        let wrong = guest_with(&network, "another").await.expect_err("it is judged by the secret as well");
        assert!(wrong.contains("signed with another secret"), "{wrong}");
        assert_eq!(guest_with(&network, "secret").await, Ok(()));
    }
    let network = Network::default();
    let refuse = |_| std::future::ready(Err("not today".to_owned()));
    let _node = open_to_guests(&network, |node| node.shared_secret("secret").token_validator(refuse));
    assert_eq!(guest_with(&network, "secret").await, Err("rejected: auth token: not today".into()));
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_only_the_dialling_side_has_is_told() {
    let network = Network::default();
    let _node = open_to_guests(&network, |node| node);
    let told = "rejected: auth token: signed with a secret, and this node was given none";
    assert_eq!(guest_with(&network, "secret").await, Err(told.into()));
}

#[tokio::test(start_paused = true)]
async fn the_secret_of_guests_is_not_that_of_peers() {
    let network = Network::default();
    let (dialling, dialled) = names();
    let both = |builder: ManagerBuilder| builder.shared_secret("of nodes").guest_secret("of guests");
    let node = both(network.builder(&dialled)).peers([&*dialling]).allow_guests([]).build().expect("it starts");
    network.add(&node);
    let guest = |secret: &'static str| {
        let guest = grid::connect(&*dialled).connector(network.clone()).shared_secret(secret);
        async { within(guest).await.map(|_| ()).map_err(|error| error.to_string()) }
    };
    assert_eq!(guest("of guests").await, Ok(()));
    assert!(guest("of nodes").await.expect_err("it is no guest's").contains("another secret"));

    let false_node = network.builder(&dialling).shared_secret("of guests").peers([&*dialled]).build();
    let false_node = false_node.expect("it starts");
    assert!(failure(&false_node).await.to_string().contains("another secret"));
    false_node.shutdown().await;
    let true_node = both(network.builder(&dialling)).peers([&*dialled]).build().expect("it starts");
    within(connection(&true_node).ready()).await.expect("it is let in");
}

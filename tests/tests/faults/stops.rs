//! A process that is stopped for longer than it takes to be taken for dead, and goes on then.

use grid::{LinkError, State};
use grid_tests::load::{End, Load, serve};
use grid_tests::memory::dials;
use grid_tests::mesh::{NOTICED, Place, only, sharp, soon};
use grid_tests::probe::Probe;
use tokio::time::Instant;

use crate::PROCESS;
use crate::child::{ChildNode, free_name};
use crate::stage::{SLACK, hanging, is_down, state, until};

const HANGING: usize = 16;

/// Who dials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dials {
    This,
    Stopped,
}

async fn stop_and_go_on(who: Dials) {
    let (own, probe) = (Place::new(), Probe::default());
    let name = free_name(|name| dials(&own.name, name) == (who == Dials::This));
    let node = serve(&probe, sharp(own.builder())).peers([&*name]).start().await.expect("it starts");
    let child = ChildNode::spawn(&name, &own.name, "sharp");
    let connection = only(&node);
    soon(connection.ready()).await.expect("not shut down");
    let load = Load::start([connection.clone()], 8);
    let calls = hanging(&connection, HANGING);
    soon(until(|| connection.stats().calls_out >= HANGING && load.ledger().ended(End::Answered) > 100)).await;

    let reconnects = connection.stats().reconnects;
    let stopped = Instant::now();
    child.signal("STOP").await;
    let (why, _) = state(&connection, is_down).await;
    let noticed = stopped.elapsed();
    for call in calls {
        let ended = soon(call).await.expect("it ends as it may");
        assert!(ended - stopped < noticed + SLACK, "ended {:?} after the stop", ended - stopped);
    }
    if who == Dials::This {
        state(&connection, |state| *state == State::Disconnected(Some(LinkError::HandshakeTimeout))).await;
    }
    let going = Instant::now();
    child.signal("CONT").await;
    soon(connection.ready()).await.expect("not shut down");
    let back = going.elapsed();
    // The process that was stopped has found itself without a link, and has another one.
    soon(async { while !is_back(&connection).await {} }).await;
    let ledger = soon(load.stop()).await;
    assert!(connection.stats().reconnects > reconnects && connection.stats().calls_out == 0);
    println!(
        "SIGSTOP, dials: {who:?}: noticed after {noticed:?} ({why:?}), connected {back:?} after SIGCONT; {ledger}"
    );
    assert!(noticed < NOTICED + SLACK);
}

async fn is_back(connection: &grid::Connection) -> bool {
    match connection.single(4_u8, "").await {
        Ok(told) => !told.starts_with(b"0 ") && told.ends_with(b" Connected"),
        Err(_) => connection.ready().await.is_err(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_stopped_and_is_dialled_is_given_up_and_found_again() {
    let _shared = PROCESS.read().await;
    stop_and_go_on(Dials::This).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_stopped_and_dials_is_given_up_and_comes_back() {
    let _shared = PROCESS.read().await;
    stop_and_go_on(Dials::Stopped).await;
}

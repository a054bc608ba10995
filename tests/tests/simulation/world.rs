//! One seed: nodes, a workload, faults, and what must hold at the end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use grid::sim::{Node, Sim};
use grid::{Connection, Describe, Limits, State, Timeouts};
use tokio::sync::{Notify, Semaphore};

use super::caller::make;
use super::judge::{AFTERMATH, CALL, Room, Trouble, What, judge};
use super::ledger::{Ledger, Outcome, Record};
use super::plan::{ANNEX, Begins, Kind, Plan};
use super::service::{WorkClient, WorkServer, Worker};

/// What is left of a run when all was well.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) digest: u64,
    pub(crate) records: Vec<Record>,
    pub(crate) troubles: Vec<Trouble>,
}

/// What a node is told from outside of the simulation.
#[derive(Clone)]
struct World {
    ledger: Ledger,
    room: Room,
    leave: Arc<BTreeMap<&'static str, Notify>>,
    /// Closed when all must be well again.
    mended: Arc<Semaphore>,
}

/// # Panics
/// Something does not hold for this seed.
pub(crate) fn run(seed: u64) -> Ran {
    let mut sim = Sim::new(seed);
    let calm = fastrand::u8(0..10) == 0;
    let world = World {
        ledger: Ledger::new(plans()),
        room: if fastrand::bool() { Room::Ample } else { Room::Tight },
        leave: Arc::new(NODES.into_iter().map(|name| (name, Notify::new())).collect()),
        mended: Arc::new(Semaphore::new(0)),
    };
    for name in NODES {
        let world = world.clone();
        sim.node(name, move |node| peer(node, world.clone()));
    }
    let guest_world = world.clone();
    sim.node(GUEST, move |node| guest(node, guest_world.clone()));

    let start = Trouble { what: What::Start, nodes: Vec::new(), from: Duration::ZERO, until: Duration::ZERO };
    let mut troubles = vec![start];
    if calm {
        sim.run_for(TROUBLED);
    } else {
        let before = fastrand::u32(0..100);
        troubles.extend(sim.chaos(TROUBLED * before / 100).into_iter().map(Trouble::from));
        if fastrand::bool() {
            troubles.push(leave(&mut sim, &world));
        }
        let left = TROUBLED.saturating_sub(sim.elapsed());
        troubles.extend(sim.chaos(left).into_iter().map(Trouble::from));
    }
    let ledger = &world.ledger;
    sim.run_for(AFTERMATH);
    world.mended.close();
    sim.run_until(SOON, || ledger.connections().iter().all(|connection| connection.state() == State::Connected));
    sim.run_until(CALL, || ledger.records().iter().all(|call| call.ended.is_some()));
    sim.run_until(SOON, || ledger.connections().iter().all(is_idle) && !ledger.a_handler_runs());
    let records = ledger.records();
    for record in &records {
        judge(record, &troubles, world.room);
        if record.plan.begins == Begins::WhenMended {
            let done = record.ended.as_ref().is_some_and(|end| end.outcome == Outcome::Done);
            assert!(done, "calls succeed when all is mended: {record:#?}\n{troubles:?}");
        }
    }
    Ran { digest: sim.digest(), records, troubles }
}

/// A workload, and one call of each kind over each connection when all is over.
fn plans() -> Vec<Plan> {
    let until = u64::try_from(TROUBLED.as_millis()).expect("some seconds");
    let mut plans: Vec<_> = (0..CALLS).map(|number| Plan::draw(number, &NODES, GUEST, 0..until)).collect();
    let kinds = [Kind::Single, Kind::Detached, Kind::Watch, Kind::Produce, Kind::Consume, Kind::Exchange];
    for caller in NODES.into_iter().chain([GUEST]) {
        for callee in NODES.into_iter().filter(|callee| *callee != caller) {
            if caller == GUEST && callee != NODES[0] {
                continue;
            }
            let kind = kinds[plans.len() % kinds.len()];
            plans.push(Plan::proof(plans.len(), kind, caller, callee));
        }
    }
    plans
}

/// Short, so that not much time is simulated.
fn times(timeouts: &mut Timeouts) {
    let millis = Duration::from_millis;
    timeouts.call = CALL;
    timeouts.handshake = millis(1_000);
    timeouts.ping_interval = millis(500);
    timeouts.dead_after = millis(1_000);
    timeouts.stream_ping_interval = millis(500);
    timeouts.stream_dead_after = millis(3_000);
    timeouts.stream_abandoned_after = millis(3_000);
    timeouts.write = millis(700);
    timeouts.reconnect_min = millis(50);
    timeouts.reconnect_max = millis(150);
    timeouts.drain = millis(700);
}

fn bounds(limits: &mut Limits, room: Room) {
    if room == Room::Tight {
        limits.calls_in_max = 4;
        limits.calls_out_max = 6;
        limits.outbox_bytes_max = 8 << 10;
        limits.unread_bytes_max = 64 << 10;
        limits.calls_in_bytes_max = 128 << 10;
        // Of all links of a node that ever were: places that one of them kept would be missed by the calls at the end.
        limits.calls_in_total_max = 16;
    }
}

async fn peer(node: Node, world: World) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let World { ledger, room, leave, mended } = world;
    let [worker, annex] = [(); 2].map(|()| Worker { ledger: ledger.clone(), node: node.clone() });
    let builder = node.builder().timeouts(times).limits(|limits| bounds(limits, room)).shared_secret("secret");
    let builder = builder.peers(NODES).allow_guests(WorkClient::DESCRIPTION.handler_ids());
    let builder = builder.serve(WorkServer::new(worker)).serve_at(ANNEX, WorkServer::new(annex));
    let manager = builder.start().await?;
    ledger.join(node.name(), manager.connections().collect());
    for plan in ledger.to_make(&node) {
        let connection = manager.connection(&plan.callee)?;
        tokio::spawn(make(plan, connection, ledger.clone(), node.clone(), Arc::clone(&mended)));
    }
    leave[node.name()].notified().await;
    manager.shutdown().await;
    Ok(())
}

async fn guest(node: Node, world: World) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let connection = loop {
        let guest = node.connect(NODES[0]).timeouts(times).limits(|limits| bounds(limits, world.room));
        let worker = Worker { ledger: world.ledger.clone(), node: node.clone() };
        match guest.shared_secret("secret").serve(WorkServer::new(worker)).await {
            Ok(connection) => break connection,
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    };
    world.ledger.join(node.name(), vec![connection.clone()]);
    for plan in world.ledger.to_make(&node) {
        tokio::spawn(make(plan, connection.clone(), world.ledger.clone(), node.clone(), Arc::clone(&world.mended)));
    }
    connection.changes().for_each(async |_| {}).await;
    Ok(())
}

/// One node is shut down, and started again.
fn leave(sim: &mut Sim, world: &World) -> Trouble {
    let name = NODES[fastrand::usize(0..NODES.len())];
    let from = sim.elapsed();
    world.leave[name].notify_one();
    sim.run_to_end(name, Duration::from_secs(10));
    sim.restart(name);
    Trouble { what: What::Leaves, nodes: vec![name.into()], from, until: sim.elapsed() }
}

fn is_idle(connection: &Connection) -> bool {
    let stats = connection.stats();
    (stats.calls_in, stats.calls_out, stats.unread_bytes, stats.queued_bytes) == (0, 0, 0, 0)
}

const NODES: [&str; 3] = ["http://a:1", "http://b:1", "http://c:1"];
/// It knows the first of them.
const GUEST: &str = "http://guest:1";
const CALLS: usize = 50;
/// For how long faults happen.
const TROUBLED: Duration = Duration::from_secs(3);
/// For what takes some round trips.
const SOON: Duration = Duration::from_secs(1);

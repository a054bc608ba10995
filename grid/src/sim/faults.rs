//! What can be done to nodes and to the ways between them.

use std::ops::RangeInclusive;
use std::time::{Duration, SystemTime};

use super::network::Power;
use super::routes::Way;
use super::{HostState, Sim};

/// Faults. Each panics if there is no node of a name that it is given.
impl Sim {
    /// Nothing gets from one of two nodes to the other any more, and nothing says so. What is sent waits.
    pub fn partition(&mut self, a: &str, b: &str) {
        self.partition_one_way(a, b);
        self.partition_one_way(b, a);
    }

    /// The same in one direction: the other one is as it was.
    pub fn partition_one_way(&mut self, from: &str, to: &str) {
        let (from, to) = self.places(from, to);
        self.network.with(|state| state.routes.set_way(from, to, Way::Blocked));
    }

    /// Ends the partition of two nodes, in both directions. What waited arrives.
    pub fn heal(&mut self, a: &str, b: &str) {
        let (a, b) = self.places(a, b);
        self.network.with(|state| {
            state.routes.set_way(a, b, Way::Open);
            state.routes.set_way(b, a, Way::Open);
        });
    }

    /// Ends all partitions.
    pub fn heal_all(&mut self) {
        self.network.with(|state| state.routes.open_all());
    }

    /// Resets all connections between two nodes, at both ends.
    pub fn cut(&mut self, a: &str, b: &str) {
        let (a, b) = self.places(a, b);
        self.network.with(|state| state.cut(a, b));
    }

    /// How long what is sent takes from now on, drawn evenly, in whole milliseconds; 1 to 5 of them if nothing else is said.
    /// Bytes of one connection do not overtake each other.
    pub fn delay(&mut self, a: &str, b: &str, delay: RangeInclusive<Duration>) {
        let (a, b) = self.places(a, b);
        self.network.with(|state| {
            state.routes.set_delay(a, b, delay.clone());
            state.routes.set_delay(b, a, delay);
        });
    }

    /// Ends a program at once, as a kill does: its future and all tasks are dropped, and the system of its machine
    /// closes its sockets.
    pub fn crash(&mut self, name: &str) {
        let place = self.place(name);
        self.network.with(|state| state.close_all(place));
        self.host(name).state = HostState::Down;
    }

    /// Takes the power from a machine: its program ends at once, and nobody hears of it.
    pub fn power_off(&mut self, name: &str) {
        let place = self.place(name);
        self.network.with(|state| state.set_power(place, Power::Off));
        self.crash(name);
    }

    /// Starts the program of a machine again, which crashes first if it runs, and gives it power if it has none.
    pub fn restart(&mut self, name: &str) {
        self.crash(name);
        let place = self.place(name);
        self.network.with(|state| state.set_power(place, Power::On));
        self.host(name).state = HostState::Starting;
    }

    /// Stops a machine for so long, as `SIGSTOP` does a process: its clocks go on. What is down stays down.
    pub fn stall(&mut self, name: &str, time: Duration) {
        let until = self.elapsed() + time;
        let state = &mut self.host(name).state;
        *state = match std::mem::replace(state, HostState::Down) {
            HostState::Runs(machine) => HostState::Stalled(machine, until),
            HostState::Stalled(machine, before) => HostState::Stalled(machine, until.max(before)),
            state @ (HostState::Starting | HostState::Down) => state,
        };
    }

    /// The time of day by the clock of a machine.
    pub fn clock(&mut self, name: &str) -> SystemTime {
        self.host(name).node.now()
    }

    /// Sets the clock of a machine, which goes on from there. What measures how long something takes is not affected.
    pub fn set_clock(&mut self, name: &str, time: SystemTime) {
        let place = self.place(name);
        self.network.with(|state| state.set_time_of_day(place, time));
    }
}

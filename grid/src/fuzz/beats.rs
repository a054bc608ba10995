//! Pings of links and of streams.

use std::time::{Duration, Instant, UNIX_EPOCH};

use super::choices::Choices;
use crate::proto::{Beat, End, Liveness, Moved, Pulse, PulseBeat};
use crate::wire::{Pong, WireTime};

/// Lets time pass with and without signs of life, and holds what follows against a count of its own.
pub fn beats(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    match choices.below(3) {
        0 => link(choices),
        1 => stream(choices, End::Caller),
        _ => stream(choices, End::Handler),
    }
}

/// A peer is dead at the first tick that is late enough after its last pong with nothing moved before it.
fn link(mut choices: Choices<'_>) {
    let start = Instant::now();
    let dead_after = Duration::from_secs(choices.below(60) as u64);
    let mut liveness = Liveness::new(dead_after, start);
    let (mut now, mut last_pong) = (start, start);
    let mut pinged: Option<(WireTime, Instant)> = None;
    while !choices.is_over() {
        now += Duration::from_millis(choices.below(256) as u64 * 100);
        match choices.below(4) {
            0 => {
                let time = pinged.map_or_else(WireTime::default, |(time, _)| time);
                let trip = liveness.on_pong(&Pong { time, ..Pong::default() }, now);
                assert_eq!(trip, pinged.take().map(|(_, sent)| now - sent), "one ping has one round trip");
                last_pong = now;
            }
            1 => {
                let other = WireTime::from(UNIX_EPOCH + Duration::from_secs(u64::MAX / 4));
                assert_eq!(liveness.on_pong(&Pong { time: other, ..Pong::default() }, now), None);
                last_pong = now;
            }
            kind => {
                let moved = if kind == 2 { Moved::Nothing } else { Moved::Something };
                let wall = WireTime::from(UNIX_EPOCH + Duration::from_secs(choices.byte().into()));
                let dead = now - last_pong >= dead_after && moved == Moved::Nothing;
                match liveness.on_tick(now, wall, moved) {
                    Beat::Dead => return assert!(dead, "a peer is dead that was heard of"),
                    Beat::Send(ping) => {
                        assert!(!dead, "a dead peer is pinged");
                        assert_eq!(ping.time, wall);
                        pinged = Some((wall, now));
                    }
                }
            }
        }
    }
}

/// A stream is dead after so much silence of which no part is longer than between two pings; a caller pings at each
/// tick that is late enough after the last ping, and a handler never.
fn stream(mut choices: Choices<'_>, end: End) {
    let start = Instant::now();
    let ping_interval = Duration::from_secs(1 + choices.below(20) as u64);
    let dead_after = ping_interval * (1 + u32::from(choices.byte() % 4));
    let mut pulse = Pulse::new(end, ping_interval, dead_after, start);
    let (mut now, mut last_ping, mut silence) = (start, start, Duration::ZERO);
    while !choices.is_over() {
        let passed = Duration::from_millis(choices.below(256) as u64 * 200);
        now += passed;
        let heard = if choices.is_so() { Moved::Something } else { Moved::Nothing };
        silence = match heard {
            Moved::Something => Duration::ZERO,
            Moved::Nothing => silence + passed.min(ping_interval),
        };
        let pings = end == End::Caller && now - last_ping >= ping_interval;
        match pulse.on_tick(heard, now) {
            PulseBeat::Dead => return assert!(silence >= dead_after, "dead after {silence:?} of silence"),
            PulseBeat::Ping => {
                assert!(pings, "a ping too many");
                last_ping = now;
            }
            PulseBeat::Nothing => assert!(!pings, "no ping"),
        }
        assert!(silence < dead_after, "alive after {silence:?} of silence");
    }
}

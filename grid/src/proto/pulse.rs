//! Whether the other end of a stream is still there.

use std::time::{Duration, Instant};

use super::liveness::Moved;
use super::sending::End;

/// Pings of one stream. The driver calls [`on_tick`](Self::on_tick) now and then.
///
/// The caller pings; the handler counts on that. A stream that is only slow goes on: pings and pongs do not wait for
/// credits. Time in which this process stood still, and could neither ping nor hear, counts as one interval at most.
#[derive(Debug)]
pub(crate) struct Pulse {
    end: End,
    ping_interval: Duration,
    dead_after: Duration,
    /// For how long nothing was heard.
    silence: Duration,
    last_tick: Instant,
    last_ping: Instant,
}

/// What is to be done at a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PulseBeat {
    Nothing,
    Ping,
    /// Nothing was heard for too long.
    Dead,
}

impl Pulse {
    /// The other end counts as alive at the start.
    pub(crate) fn new(end: End, ping_interval: Duration, dead_after: Duration, now: Instant) -> Self {
        Self { end, ping_interval, dead_after, silence: Duration::ZERO, last_tick: now, last_ping: now }
    }

    /// `heard` tells whether a frame came since the tick before.
    pub(crate) fn on_tick(&mut self, heard: Moved, now: Instant) -> PulseBeat {
        let passed = now.duration_since(std::mem::replace(&mut self.last_tick, now));
        self.silence = match heard {
            Moved::Something => Duration::ZERO,
            Moved::Nothing => self.silence.saturating_add(passed.min(self.ping_interval)),
        };
        if self.silence >= self.dead_after {
            return PulseBeat::Dead;
        }
        if self.end == End::Caller && now.duration_since(self.last_ping) >= self.ping_interval {
            self.last_ping = now;
            return PulseBeat::Ping;
        }
        PulseBeat::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// The seconds at which something happens, with a frame heard at some of them.
    fn beats(end: End, dead_after: u32, seconds: u32, heard: &[u32]) -> Vec<(u32, PulseBeat)> {
        let start = Instant::now();
        let mut pulse = Pulse::new(end, 15 * SECOND, dead_after * SECOND, start);
        let beats = (1..=seconds).map(|second| {
            let heard = if heard.contains(&second) { Moved::Something } else { Moved::Nothing };
            (second, pulse.on_tick(heard, start + second * SECOND))
        });
        beats.filter(|(_, beat)| *beat != PulseBeat::Nothing).collect()
    }

    #[test]
    fn a_caller_pings_every_fifteen_seconds_and_gives_up_after_thirty_of_silence() {
        assert_eq!(beats(End::Caller, 30, 30, &[]), [(15, PulseBeat::Ping), (30, PulseBeat::Dead)]);
        let pinged = [15, 30, 45].map(|second| (second, PulseBeat::Ping));
        assert_eq!(beats(End::Caller, 30, 45, &[16, 31]), pinged);
    }

    #[test]
    fn a_process_that_stood_still_pings_before_it_gives_up() {
        let start = Instant::now();
        let mut pulse = Pulse::new(End::Caller, 15 * SECOND, 30 * SECOND, start);
        assert_eq!(pulse.on_tick(Moved::Nothing, start + SECOND), PulseBeat::Nothing);
        assert_eq!(pulse.on_tick(Moved::Nothing, start + 100 * SECOND), PulseBeat::Ping);
        assert_eq!(pulse.on_tick(Moved::Nothing, start + 114 * SECOND), PulseBeat::Dead);
    }

    #[test]
    fn a_handler_pings_nobody_and_is_abandoned_after_sixty_seconds_of_silence() {
        assert_eq!(beats(End::Handler, 60, 60, &[]), [(60, PulseBeat::Dead)]);
        assert_eq!(beats(End::Handler, 60, 110, &[15, 30, 45, 60]), []);
    }
}

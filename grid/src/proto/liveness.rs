//! Whether the other end of a link is still there.

use std::time::{Duration, Instant};

use crate::wire::{Ping, Pong, WireTime};

/// Pings and pongs of a link. The driver calls [`on_tick`](Self::on_tick) once per ping interval.
///
/// A peer is dead when pongs stay away and nothing moves that could keep them from coming. The round trip is measured on
/// the monotonic clock; the wall clock goes into the ping only to tell one ping from another.
#[derive(Debug)]
pub(crate) struct Liveness {
    dead_after: Duration,
    last_pong: Instant,
    pinged: Option<(WireTime, Instant)>,
}

/// What moved since the last tick: bytes of the peer, or bytes to it of more that is queued. A pong may be behind them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moved {
    Something,
    Nothing,
}

/// What is to be done at a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beat {
    Send(Ping),
    Dead,
}

impl Liveness {
    /// A link counts as alive at its start.
    pub(crate) fn new(dead_after: Duration, now: Instant) -> Self {
        Self { dead_after, last_pong: now, pinged: None }
    }

    pub(crate) fn on_tick(&mut self, now: Instant, wall: WireTime, moved: Moved) -> Beat {
        if now.duration_since(self.last_pong) >= self.dead_after && moved == Moved::Nothing {
            return Beat::Dead;
        }
        self.pinged = Some((wall, now));
        Beat::Send(Ping { time: wall })
    }

    /// The round trip, if the pong answers the ping sent last.
    pub(crate) fn on_pong(&mut self, pong: &Pong<'_>, now: Instant) -> Option<Duration> {
        self.last_pong = now;
        let (_, sent) = self.pinged.take_if(|(time, _)| *time == pong.time)?;
        Some(now.duration_since(sent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN: Duration = Duration::from_secs(10);

    fn pong(time: WireTime) -> Pong<'static> {
        Pong { time, ..Pong::default() }
    }

    #[test]
    fn a_peer_that_never_answers_is_dead_at_twenty_seconds() {
        let start = Instant::now();
        let mut liveness = Liveness::new(2 * TEN, start);
        assert!(matches!(liveness.on_tick(start + TEN, WireTime::new(1, 0), Moved::Nothing), Beat::Send(_)));
        assert_eq!(liveness.on_tick(start + 2 * TEN, WireTime::new(2, 0), Moved::Nothing), Beat::Dead);
    }

    #[test]
    fn a_peer_that_answered_once_is_dead_at_forty_seconds() {
        let start = Instant::now();
        let mut liveness = Liveness::new(2 * TEN, start);
        let _ = liveness.on_tick(start + TEN, WireTime::new(1, 0), Moved::Nothing);
        let trip = Duration::from_micros(300);
        assert_eq!(liveness.on_pong(&pong(WireTime::new(1, 0)), start + TEN + trip), Some(trip));
        assert!(matches!(liveness.on_tick(start + 2 * TEN, WireTime::new(2, 0), Moved::Nothing), Beat::Send(_)));
        assert!(matches!(liveness.on_tick(start + 3 * TEN, WireTime::new(3, 0), Moved::Nothing), Beat::Send(_)));
        assert_eq!(liveness.on_tick(start + 4 * TEN, WireTime::new(4, 0), Moved::Nothing), Beat::Dead);
    }

    #[test]
    fn a_peer_whose_pong_is_behind_much_else_is_dead_when_nothing_moves_any_more() {
        let start = Instant::now();
        let mut liveness = Liveness::new(2 * TEN, start);
        for tick in 1..10 {
            let beat = liveness.on_tick(start + tick * TEN, WireTime::new(1, 0), Moved::Something);
            assert!(matches!(beat, Beat::Send(_)));
        }
        assert_eq!(liveness.on_tick(start + 10 * TEN, WireTime::new(1, 0), Moved::Nothing), Beat::Dead);
    }

    #[test]
    fn a_step_of_the_wall_clock_changes_no_round_trip() {
        let start = Instant::now();
        let mut liveness = Liveness::new(2 * TEN, start);
        let stepped_back = WireTime::new(-1_000_000, 0);
        let _ = liveness.on_tick(start + TEN, stepped_back, Moved::Nothing);
        let trip = Duration::from_millis(2);
        assert_eq!(liveness.on_pong(&pong(stepped_back), start + TEN + trip), Some(trip));
    }

    #[test]
    fn a_pong_for_another_ping_is_a_sign_of_life_and_no_measurement() {
        let start = Instant::now();
        let mut liveness = Liveness::new(2 * TEN, start);
        let _ = liveness.on_tick(start + TEN, WireTime::new(1, 0), Moved::Nothing);
        assert_eq!(liveness.on_pong(&pong(WireTime::new(5, 0)), start + TEN), None);
        assert!(matches!(liveness.on_tick(start + 2 * TEN, WireTime::new(2, 0), Moved::Nothing), Beat::Send(_)));
    }
}

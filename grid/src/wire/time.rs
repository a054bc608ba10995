//! Points in time as the protocol writes them: seconds and nanoseconds since the Unix epoch, in UTC.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A time of the wall clock on the wire. The default is v1's zero time, the first of January of the year 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WireTime {
    secs: i64,
    nanos: u32,
}

impl Default for WireTime {
    fn default() -> Self {
        Self { secs: ZERO_TIME_SECS, nanos: 0 }
    }
}

impl WireTime {
    #[cfg(test)]
    pub(crate) fn new(secs: i64, nanos: u32) -> Self {
        debug_assert!(nanos < NANOS_PER_SEC);
        Self { secs, nanos }
    }

    /// How far the two times are apart, in whichever direction.
    pub(crate) fn abs_difference(self, other: Self) -> Duration {
        let nanos = |time: Self| i128::from(time.secs) * i128::from(NANOS_PER_SEC) + i128::from(time.nanos);
        let apart = nanos(self).abs_diff(nanos(other));
        let secs = u64::try_from(apart / u128::from(NANOS_PER_SEC)).unwrap_or(u64::MAX);
        let nanos = u32::try_from(apart % u128::from(NANOS_PER_SEC)).unwrap_or(0);
        Duration::new(secs, nanos)
    }

    pub(super) fn put(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[0xc7, 12, EXT_OWN.cast_unsigned()]);
        out.extend_from_slice(&self.secs.to_be_bytes());
        out.extend_from_slice(&self.nanos.to_be_bytes());
    }

    /// The four layouts that v1 peers read.
    pub(super) fn from_ext(kind: i8, data: &[u8]) -> Option<Self> {
        let (secs, nanos) = match (kind, data.len()) {
            (EXT_OWN, 12) => {
                let (secs, nanos) = data.split_first_chunk::<8>()?;
                (i64::from_be_bytes(*secs), u32::from_be_bytes(nanos.try_into().ok()?))
            }
            (EXT_OFFICIAL, 4) => (u32::from_be_bytes(data.try_into().ok()?).into(), 0),
            (EXT_OFFICIAL, 8) => {
                let packed = u64::from_be_bytes(data.try_into().ok()?);
                let secs = i64::try_from(packed & SECS_MASK_34).ok()?;
                (secs, u32::try_from(packed >> 34).ok()?)
            }
            (EXT_OFFICIAL, 12) => {
                let (nanos, secs) = data.split_first_chunk::<4>()?;
                (i64::from_be_bytes(secs.try_into().ok()?), u32::from_be_bytes(*nanos))
            }
            _ => return None,
        };
        (nanos < NANOS_PER_SEC).then_some(Self { secs, nanos })
    }
}

impl From<SystemTime> for WireTime {
    fn from(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(since) => Self { secs: i64::try_from(since.as_secs()).unwrap_or(i64::MAX), nanos: since.subsec_nanos() },
            Err(_before_1970) => Self { secs: 0, nanos: 0 },
        }
    }
}

/// The extension type of the Go library that v1 peers encode with.
const EXT_OWN: i8 = 5;
/// The timestamp type of the msgpack specification.
const EXT_OFFICIAL: i8 = -1;
const SECS_MASK_34: u64 = (1 << 34) - 1;
const NANOS_PER_SEC: u32 = 1_000_000_000;
const ZERO_TIME_SECS: i64 = -62_135_596_800;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_difference_of_the_ends_of_time_does_not_overflow() {
        let apart = WireTime::new(i64::MIN, 0).abs_difference(WireTime::new(i64::MAX, 999_999_999));
        assert_eq!(apart, Duration::new(u64::MAX, 999_999_999));
    }

    #[test]
    fn nanoseconds_beyond_a_second_are_refused() {
        assert_eq!(WireTime::from_ext(5, &[0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]), None);
    }
}

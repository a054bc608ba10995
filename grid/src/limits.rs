//! The limits and times of a node, each with its default and reason.

use std::time::Duration;

use crate::error::StartError;

/// How much a node takes on. Each limit is for one connection unless it says otherwise.
///
/// Set with [`ManagerBuilder::limits`](crate::ManagerBuilder::limits):
///
/// ```
/// # let builder = grid::Manager::builder("http://127.0.0.1:9000");
/// let builder = builder.limits(|limits| limits.message_bytes_max = 1 << 20);
/// ```
///
/// # All limits
///
#[doc = include_str!("../docs/limits.md")]
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The largest message that is sent or taken, in bytes. Default 32 MiB, which v1 peers were seen to take.
    ///
    /// A grid node is told of it in the handshake, and sends no larger ones; a request or item that is too large for
    /// either side ends with [`CallError::TooLarge`](crate::CallError::TooLarge) or
    /// [`SendError::TooLarge`](crate::SendError::TooLarge) before it is sent, an answer as a refusal. A peer that sends
    /// more is disconnected.
    pub message_bytes_max: usize,
    /// Frames that a peer may put into one message. Default 1,024: grid and v1 write 51. A peer that sends more is
    /// disconnected.
    ///
    /// Other links of the thread wait for all frames of a message.
    pub merge_frames_max: usize,
    /// Bytes that may wait to be written. Default 4 MiB: some milliseconds of a fast network.
    ///
    /// A quarter of it is for frames of up to 4 KiB, the rest for larger ones, so that neither waits for the other.
    /// Calls and answers wait for room. One frame larger than the room of its kind is let through alone. What the
    /// writer has at hand comes on top of it: one large frame, or two of 64 KiB, and a write.
    pub outbox_bytes_max: usize,
    /// Bytes of replies that the peer provokes without a call of ours (pongs, refusals, acknowledgements of streams), which
    /// may wait to be written beside the outbox. Default 1 MiB: some ten thousand of them.
    ///
    /// They never wait for room; a peer that provokes more without reading is disconnected. So is one that brings about
    /// four times as many bytes of credits and of ends of its streams.
    pub control_bytes_max: usize,
    /// Calls in flight to the peer. Default 65,536. The excess ends at once, refused as overloaded.
    pub calls_out_max: usize,
    /// Calls of the peer that run at the same time. Default 16,384. The excess is refused as overloaded.
    pub calls_in_max: usize,
    /// Bytes of the requests of those calls and their metadata, and of their answers that wait to be sent. Default 256
    /// MiB: eight of the largest messages. The excess is refused as overloaded, unless no other call runs. An answer
    /// that would make it twice as much becomes a refusal.
    pub calls_in_bytes_max: usize,
    /// Calls of all peers and guests that run on the node at the same time. Default 262,144: sixteen peers at their
    /// limit. The excess is refused as overloaded. If the node has peers and lets guests in, a quarter of it is for guests
    /// and the rest for peers, so that guests cannot take the places of peers.
    ///
    /// Each connection takes places for some calls at a time (at most 64, fewer if the limit is small), so that connections
    /// do not wait for each other, keeps up to twice as many that it does not use, and gives those back at the next ping;
    /// so a call may be refused when that many less run for each other connection.
    pub calls_in_total_max: usize,
    /// Streams of the peer that run at the same time. Default 4,096: each holds a task and, idle, some 5 KiB. The
    /// excess is refused as overloaded.
    pub streams_in_max: usize,
    /// Bytes of items of streams that were received and that nobody has read yet, and 64 for each item, which is what
    /// it takes beside them. Default 128 MiB: a hundred streams that are as far ahead as they may be (1 MiB each, see
    /// [`Windows`](crate::Windows)).
    ///
    /// Above half of it credits are withheld: a stream whose items are read gets one at a time, others none. What was
    /// granted before may still come. Beyond the limit an item ends its stream, refused as overloaded, if that stream holds
    /// more than its share, which is the limit divided by the number of streams; so hardly any ends for what others hold.
    /// Beyond twice the limit an item ends its stream whatever that holds.
    pub unread_bytes_max: usize,
    /// Bytes of metadata of one call, to be sent or taken: of names and values, and 32 for each pair. Default 8 KiB,
    /// what HTTP servers take of headers.
    pub metadata_bytes_max: usize,
    /// Guests of the node that are connected, or whose connection somebody holds. Default 1,024.
    pub guests_max: usize,
    /// Handshakes in progress on the node. Default 128: all peers of a large mesh at once. The next connection waits in
    /// the accept queue, and the oldest handshake is given up for it once it has had a fifth of
    /// [`Timeouts::handshake`].
    pub handshakes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes_max: 32 << 20,
            merge_frames_max: 1 << 10,
            outbox_bytes_max: 4 << 20,
            control_bytes_max: 1 << 20,
            calls_out_max: 1 << 16,
            calls_in_max: 1 << 14,
            calls_in_bytes_max: 256 << 20,
            calls_in_total_max: 1 << 18,
            streams_in_max: 1 << 12,
            unread_bytes_max: 128 << 20,
            metadata_bytes_max: 8 << 10,
            guests_max: 1 << 10,
            handshakes_max: 128,
        }
    }
}

impl Limits {
    /// The smallest that [`message_bytes_max`](Self::message_bytes_max) may be.
    pub(crate) const MESSAGE_BYTES_LEAST: usize = 1 << 10;

    pub(crate) fn validate(&self) -> Result<(), StartError> {
        let least = [
            ("message_bytes_max", self.message_bytes_max, Self::MESSAGE_BYTES_LEAST, "at least 1 KiB"),
            ("outbox_bytes_max", self.outbox_bytes_max, 1 << 10, "at least 1 KiB"),
            ("control_bytes_max", self.control_bytes_max, 1 << 10, "at least 1 KiB"),
            ("merge_frames_max", self.merge_frames_max, 51, "at least 51, which peers write"),
            ("calls_in_total_max", self.calls_in_total_max, 1, "at least 1"),
            ("calls_out_max", self.calls_out_max, 1, "at least 1"),
            ("calls_in_max", self.calls_in_max, 1, "at least 1"),
            ("calls_in_bytes_max", self.calls_in_bytes_max, 1 << 10, "at least 1 KiB"),
            ("unread_bytes_max", self.unread_bytes_max, 1 << 10, "at least 1 KiB"),
            ("guests_max", self.guests_max, 1, "at least 1"),
            ("handshakes_max", self.handshakes_max, 1, "at least 1"),
        ];
        let most = [
            ("message_bytes_max", self.message_bytes_max, 1 << 30, "at most 1 GiB"),
            ("outbox_bytes_max", self.outbox_bytes_max, 1 << 30, "at most 1 GiB"),
            ("calls_out_max", self.calls_out_max, 1 << 20, "at most 1,048,576: a mux id keeps 20 bits for it"),
            ("handshakes_max", self.handshakes_max, 1 << 20, "at most 1,048,576"),
        ];
        let low = least.into_iter().find(|(_, value, least, _)| value < least);
        let high = most.into_iter().find(|(_, value, most, _)| value > most);
        match low.or(high) {
            Some((name, value, _, problem)) => {
                Err(StartError::InvalidLimit { name, value: value.to_string().into(), problem })
            }
            None => Ok(()),
        }
    }
}

/// How often each limit was reached: see [`ConnectionStats`](crate::ConnectionStats) and [`NodeStats`](crate::NodeStats).
///
/// The names are those of [`Limits`]; what reaching each one means is told there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LimitHits {
    /// Requests, answers and items of this side that were too large, and links that ended since the peer sent a larger
    /// message.
    pub message_bytes_max: u64,
    /// Links that ended since a message had more frames.
    pub merge_frames_max: u64,
    /// Calls, answers and items that had to wait for room.
    pub outbox_bytes_max: u64,
    /// Links that ended since the peer provoked more replies than it read.
    pub control_bytes_max: u64,
    /// Calls of this side that were refused here.
    pub calls_out_max: u64,
    /// Calls of the peer that were refused.
    pub calls_in_max: u64,
    /// Calls of the peer that were refused for the bytes of their requests, or whose answers were.
    pub calls_in_bytes_max: u64,
    /// Calls of the peer that were refused for those of all peers.
    pub calls_in_total_max: u64,
    /// Streams of the peer that were refused.
    pub streams_in_max: u64,
    /// Streams that ended since their items were not read.
    pub unread_bytes_max: u64,
    /// Calls of either side that were refused for their metadata.
    pub metadata_bytes_max: u64,
    /// Guests that were turned away; counted by the node alone.
    pub guests_max: u64,
    /// Connections that had to wait for their handshake, or that a router answered 503; counted by the node alone.
    pub handshakes_max: u64,
}

/// How long a node waits for what. Set with [`ManagerBuilder::timeouts`](crate::ManagerBuilder::timeouts).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timeouts {
    /// The time that a call has if it is given none and inherits none. Default 60 s, as v1 has it.
    pub call: Duration,
    /// From the start of a connection attempt to its acceptance, on either side. Default 5 s. While others wait for one of
    /// [`Limits::handshakes_max`], a handshake on the accepting side has a fifth of it for certain.
    pub handshake: Duration,
    /// Between two pings. Default 10 s, as v1 has it.
    pub ping_interval: Duration,
    /// A peer whose last pong is this long ago at a ping is taken for dead, unless bytes came from it since the ping
    /// before, or went to it while more waited. Default 20 s, as v1 has it.
    pub dead_after: Duration,
    /// Between two pings of one stream, by the side that made the call. Default 15 s, as v1 has it.
    pub stream_ping_interval: Duration,
    /// A stream from whose handler nothing was heard for this long, pongs included, ends as if the remote had dropped it.
    /// Default 30 s, as v1 has it. Between grid nodes whatever comes on the link counts: streams live as long as it does.
    pub stream_dead_after: Duration,
    /// A stream from whose caller nothing was heard for this long, pings included, is given up and its handler dropped.
    /// Default 60 s, as v1 has it: four times what v1 has between two pings. Between grid nodes as above.
    pub stream_abandoned_after: Duration,
    /// A peer that takes no byte for this long while bytes wait is dropped. Default 4 s, as v1 has it.
    pub write: Duration,
    /// Starts of connection attempts are at least this far apart, after the first one that follows a link that held.
    /// Default 1 s, as v1 has it.
    pub reconnect_min: Duration,
    /// Starts of connection attempts are at most this far apart, or as long as the attempt before takes, which is
    /// [`handshake`](Self::handshake) at most. Default 2 s, as v1 has it. The actual time is drawn evenly between the two,
    /// so that many nodes do not dial in step.
    pub reconnect_max: Duration,
    /// How long [`Manager::shutdown`](crate::Manager::shutdown) lets running calls finish. Default 10 s.
    pub drain: Duration,
    /// How far the clocks of two nodes may be apart when they connect. Default 5 min, as v1 has it.
    pub clock_difference_max: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            call: Duration::from_secs(60),
            handshake: Duration::from_secs(5),
            ping_interval: Duration::from_secs(10),
            dead_after: Duration::from_secs(20),
            stream_ping_interval: Duration::from_secs(15),
            stream_dead_after: Duration::from_secs(30),
            stream_abandoned_after: Duration::from_secs(60),
            write: Duration::from_secs(4),
            reconnect_min: Duration::from_secs(1),
            reconnect_max: Duration::from_secs(2),
            drain: Duration::from_secs(10),
            clock_difference_max: Duration::from_secs(5 * 60),
        }
    }
}

impl Timeouts {
    pub(crate) fn validate(&self) -> Result<(), StartError> {
        let invalid = |name, value: Duration, problem| {
            Err(StartError::InvalidLimit { name, value: format!("{value:?}").into(), problem })
        };
        let positive = [
            ("call", self.call),
            ("handshake", self.handshake),
            ("ping_interval", self.ping_interval),
            ("stream_ping_interval", self.stream_ping_interval),
            ("write", self.write),
            ("reconnect_min", self.reconnect_min),
        ];
        if let Some((name, value)) = positive.into_iter().find(|(_, value)| value.is_zero()) {
            return invalid(name, value, "more than zero");
        }
        let bounded = [
            ("dead_after", self.dead_after),
            ("stream_dead_after", self.stream_dead_after),
            ("stream_abandoned_after", self.stream_abandoned_after),
            ("reconnect_max", self.reconnect_max),
            ("drain", self.drain),
        ];
        let longest = positive.into_iter().chain(bounded).find(|(_, value)| *value > LONGEST);
        if let Some((name, value)) = longest {
            return invalid(name, value, "at most a year");
        }
        if self.dead_after < self.ping_interval {
            return invalid("dead_after", self.dead_after, "at least ping_interval");
        }
        if self.stream_dead_after < self.stream_ping_interval {
            return invalid("stream_dead_after", self.stream_dead_after, "at least stream_ping_interval");
        }
        if self.stream_abandoned_after < self.stream_ping_interval {
            return invalid("stream_abandoned_after", self.stream_abandoned_after, "at least stream_ping_interval");
        }
        if self.reconnect_max < self.reconnect_min {
            return invalid("reconnect_max", self.reconnect_max, "at least reconnect_min");
        }
        Ok(())
    }
}

/// Times are added to the clock, which has an end.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    /// A row of the table of `docs/limits.md`: its name, and its default in bytes, seconds or as a number.
    fn row(line: &str) -> Option<(String, u64)> {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let name = cells.get(1)?.strip_prefix('`')?.strip_suffix('`')?;
        let (number, unit) = cells.get(2)?.split_once(' ').unwrap_or((cells[2], ""));
        let unit = match unit {
            "" | "s" => 1,
            "min" => 60,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            other => panic!("a unit {other:?} in {line}"),
        };
        Some((name.to_owned(), number.replace(',', "").parse::<u64>().unwrap() * unit))
    }

    /// The fields of a struct of numbers or durations, as its `Debug` shows them.
    fn fields(debug: &str) -> Vec<(String, u64)> {
        let (_, fields) = debug.split_once('{').unwrap();
        let fields = fields.trim_end_matches('}').split(',');
        let field = |field: &str| {
            let (name, value) = field.trim().split_once(": ").unwrap();
            (name.to_owned(), value.trim().trim_end_matches('s').parse().unwrap())
        };
        fields.map(field).collect()
    }

    #[test]
    fn the_table_tells_the_defaults_of_all_limits_and_timeouts() {
        let told: Vec<_> = include_str!("../docs/limits.md").lines().filter_map(row).collect();
        let limits = fields(&format!("{:?}", Limits::default()));
        let timeouts = fields(&format!("{:?}", Timeouts::default()));
        assert_eq!(told, [limits.clone(), timeouts].concat());
        let counted = fields(&format!("{:?}", LimitHits::default()));
        assert!(limits.iter().all(|(name, _)| counted.iter().any(|(counted, _)| counted == name)));
    }

    #[test]
    fn the_defaults_are_valid_and_nonsense_is_named() {
        assert_eq!(Limits::default().validate(), Ok(()));
        assert_eq!(Timeouts::default().validate(), Ok(()));

        let limits = Limits { calls_in_max: 0, ..Limits::default() };
        assert_eq!(limits.validate().unwrap_err().to_string(), "calls_in_max cannot be 0: at least 1");
        let timeouts = Timeouts { dead_after: Duration::from_secs(1), ..Timeouts::default() };
        assert_eq!(timeouts.validate().unwrap_err().to_string(), "dead_after cannot be 1s: at least ping_interval");
    }
}

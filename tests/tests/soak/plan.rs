//! What the caller and the handler of one call are to do.

use std::time::Duration;

use bytes::Bytes;
use grid::Windows;

/// One call. Times are milliseconds, few enough to meet often.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) number: u32,
    pub(crate) kind: Kind,
    pub(crate) begins: u8,
    /// Items that the caller sends, and that the handler sends.
    pub(crate) items: [u8; 2],
    /// How long each takes for one item that it reads.
    pub(crate) reads_in: [u8; 2],
    /// Items after which the handler reads no more.
    pub(crate) handler_reads: u8,
    pub(crate) ends_with: EndsWith,
    pub(crate) timeout: Option<u8>,
    pub(crate) gives_up: Option<GivesUp>,
    /// The window of the caller, and which of the handler's.
    pub(crate) window: u32,
    pub(crate) served: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Single,
    Responses,
    Requests,
    TwoWay,
    /// Both ends send all they have before they read.
    Flood,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndsWith {
    Answer,
    Error,
    Panic,
}

/// When the caller gives up, and what it drops first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GivesUp {
    pub(crate) after: u8,
    pub(crate) drops: Drops,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Drops {
    /// The whole call, wherever it stands.
    All,
    /// The half that sends, and then it reads on.
    Outbound,
}

/// The windows that handlers are served with, by what is added to their id.
pub(crate) const SERVED: [u32; 3] = [1, 4, 64];

impl Plan {
    pub(crate) fn draw(number: u32) -> Self {
        let kind = [Kind::Single, Kind::Responses, Kind::Requests, Kind::TwoWay, Kind::TwoWay, Kind::Flood];
        let kind = kind[fastrand::usize(0..kind.len())];
        let [sent, received] = [fastrand::u8(0..30), fastrand::u8(0..30)];
        let items = match kind {
            Kind::Single => [0, 0],
            Kind::Responses => [0, received],
            Kind::Requests => [sent, 1],
            Kind::TwoWay | Kind::Flood => [sent, received],
        };
        let slow = || [0, 0, 0, 1, 3][fastrand::usize(0..5)];
        let drops = if items[0] > 0 && fastrand::bool() { Drops::Outbound } else { Drops::All };
        let gives_up = GivesUp { after: fastrand::u8(0..40), drops };
        Self {
            number,
            kind,
            begins: fastrand::u8(0..60),
            items,
            reads_in: [slow(), slow()],
            handler_reads: if fastrand::u8(0..4) == 0 { fastrand::u8(0..10) } else { u8::MAX },
            ends_with: [EndsWith::Answer, EndsWith::Answer, EndsWith::Error, EndsWith::Panic][fastrand::usize(0..4)],
            // Ends that wait for each other wait until then.
            timeout: (kind == Kind::Flood || fastrand::bool()).then(|| fastrand::u8(1..60)),
            gives_up: (fastrand::u8(0..3) == 0).then_some(gives_up),
            window: SERVED[fastrand::usize(0..3)],
            served: fastrand::u8(0..3),
        }
    }

    /// What the handler is told.
    pub(crate) fn payload(self) -> Vec<u8> {
        let Self { kind, items, reads_in, handler_reads, ends_with, .. } = self;
        let mut payload = vec![kind as u8, items[0], items[1], reads_in[1], handler_reads, ends_with as u8];
        payload.extend_from_slice(&self.number.to_be_bytes());
        payload
    }

    pub(crate) fn windows(self) -> Windows {
        self.kind.windows(self.window)
    }

    /// The error with which the handler ends, if it does.
    pub(crate) fn error(number: u32) -> String {
        format!("error {number}")
    }
}

impl Kind {
    pub(crate) const ALL: [Self; 5] = [Self::Single, Self::Responses, Self::Requests, Self::TwoWay, Self::Flood];

    pub(crate) fn windows(self, window: u32) -> Windows {
        match self {
            Self::Responses => Windows::responses(window),
            Self::Requests => Windows::requests(window),
            Self::Single | Self::TwoWay | Self::Flood => window.into(),
        }
    }
}

/// The item at this place of one direction of a call. Some are larger than a link.
pub(crate) fn item(number: u32, place: u8) -> Bytes {
    let len = if place % 16 == 15 { 70_000 } else { usize::from(place) % 3 * 100 };
    let mut item = [&number.to_be_bytes()[..], &[place]].concat();
    item.resize(item.len() + len, place);
    item.into()
}

pub(crate) fn millis(count: u8) -> Duration {
    Duration::from_millis(count.into())
}

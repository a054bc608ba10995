//! The number of a handler on the wire.

use std::fmt;

/// Names one handler of a node on the wire: a service number and a method number in it.
///
/// On the wire it is the one integer `service * 256 + method`. Service 0 is the flat space of v1 peers, whose handlers
/// are numbered 1 to 255 (a Go node knows 1 to 79).
///
/// ```
/// use grid::HandlerId;
///
/// assert_eq!(HandlerId::new(7, 9).get(), 7 * 256 + 9);
/// assert_eq!(HandlerId::from(10_u8), HandlerId::new(0, 10));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HandlerId(u16);

impl HandlerId {
    /// The id of a method of a service.
    #[must_use]
    pub const fn new(service: u8, method: u8) -> Self {
        Self(u16::from_be_bytes([service, method]))
    }

    /// The number on the wire.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }

    /// The number of the service; 0 for the flat space of v1 peers.
    #[must_use]
    pub const fn service(self) -> u8 {
        self.0.to_be_bytes()[0]
    }

    /// The number of the method in its service.
    #[must_use]
    pub const fn method(self) -> u8 {
        self.0.to_be_bytes()[1]
    }

    pub(crate) const fn from_wire(id: u16) -> Self {
        Self(id)
    }
}

impl From<u8> for HandlerId {
    /// The id of a handler in the flat space of v1 peers.
    fn from(id: u8) -> Self {
        Self::new(0, id)
    }
}

impl fmt::Display for HandlerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.service() {
            0 => write!(f, "{}", self.method()),
            service => write!(f, "{service}.{}", self.method()),
        }
    }
}

impl fmt::Debug for HandlerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HandlerId({self})")
    }
}

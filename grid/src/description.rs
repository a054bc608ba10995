//! What the macro knows of a service, as constants.

use std::time::Duration;

use crate::windows::Windows;
use crate::wire::HandlerId;

/// Implemented by the generated client and server of a service.
pub trait Describe {
    /// The service as it was written.
    const DESCRIPTION: ServiceDescription;
}

/// A service, as its trait was written. Made by [`service`](macro@crate::service).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServiceDescription {
    /// The name of the trait.
    pub name: &'static str,
    /// The service number, 0 to 254.
    pub id: u8,
    /// How arguments, answers and errors are encoded.
    pub codec: Codec,
    /// The doc comment of the trait.
    pub docs: &'static str,
    /// Its methods, in the order of the trait.
    pub methods: &'static [MethodDescription],
}

impl ServiceDescription {
    /// The ids of the handlers of all methods.
    pub fn handler_ids(&self) -> impl Iterator<Item = HandlerId> + use<> {
        self.methods.iter().map(|method| method.id)
    }
}

/// A method of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MethodDescription {
    /// The name of the trait.
    pub service: &'static str,
    /// The name of the method.
    pub name: &'static str,
    /// Its number on the wire.
    pub id: HandlerId,
    /// Whether it is a single request or a kind of stream.
    pub kind: MethodKind,
    /// How its arguments, answer and error are encoded.
    pub codec: Codec,
    /// The doc comment of the method.
    pub docs: &'static str,
    /// The arguments that are sent with the request, which are all but the context and the ends of streams.
    pub arguments: &'static [ArgumentDescription],
    /// The type of the items that the caller sends, as written: the `T` of `Inbound<T>`.
    pub input: Option<&'static str>,
    /// The type of the answer, as written; of the items, if the answers are a stream.
    pub answer: &'static str,
    /// The type of the error, as written; a method without one cannot fail itself.
    pub error: Option<&'static str>,
    /// The time that a call has if its caller gives none.
    pub timeout: Option<Duration>,
    /// The handler runs to its end also when the call is cancelled, timed out or cut off.
    pub detach: bool,
}

/// An argument of a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArgumentDescription {
    /// Its name, which is its key on the wire if there are several.
    pub name: &'static str,
    /// Its type, as written.
    pub type_name: &'static str,
}

/// What kind of call a method makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MethodKind {
    /// One request, one response.
    Single,
    /// One request, a stream of responses.
    Responses {
        /// Responses that may be on their way.
        out_window: u32,
    },
    /// A stream of requests, one response.
    Requests {
        /// Requests that may be on their way.
        in_window: u32,
    },
    /// Streams in both directions.
    TwoWay {
        /// Items that may be on their way into the handler.
        in_window: u32,
        /// Items that may be on their way out of the handler.
        out_window: u32,
    },
}

impl MethodKind {
    /// The windows of a stream; a single request has none.
    #[must_use]
    pub fn windows(&self) -> Option<Windows> {
        match *self {
            Self::Single => None,
            Self::Responses { out_window } => Some(Windows::responses(out_window)),
            Self::Requests { in_window } => Some(Windows::requests(in_window)),
            Self::TwoWay { in_window, out_window } => Some(Windows { inbound: in_window, outbound: out_window }),
        }
    }
}

/// How values become msgpack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Codec {
    /// Structs are maps from field name to value, as v1 peers write them: fields may be added later.
    #[default]
    Named,
    /// Structs are arrays: smaller, and a field may only be added at the end.
    Compact,
}

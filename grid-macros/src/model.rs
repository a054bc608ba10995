//! A service as plain data: what the trait says, with nothing left to check but how its parts fit together.
//!
//! Made by `parse`, checked by `validate`, read by `expand`.

use std::time::Duration;

use proc_macro2::Span;
use syn::ext::IdentExt;
use syn::{Attribute, Ident, Path, Type, Visibility};

/// A service: what `#[grid::service(..)]` and its trait say.
pub(crate) struct Service {
    /// The path to the grid crate.
    pub(crate) grid: Path,
    pub(crate) id: u8,
    pub(crate) codec: Codec,
    pub(crate) vis: Visibility,
    /// The name of the trait.
    pub(crate) name: Ident,
    pub(crate) docs: String,
    /// Lints that the user allows on the trait, for everything generated from it.
    pub(crate) allows: Vec<Attribute>,
    /// `#[deprecated]` of the trait, for the client.
    pub(crate) deprecated: Vec<Attribute>,
    pub(crate) methods: Vec<Method>,
}

/// How structs are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codec {
    Named,
    Compact,
}

/// A method without any misuse of its own. Its input and output say what kind of call it is.
pub(crate) struct Method {
    pub(crate) name: Ident,
    pub(crate) id: MethodId,
    pub(crate) timeout: Option<Duration>,
    pub(crate) detach: bool,
    pub(crate) docs: String,
    /// The attributes that remove the method, for everything generated from it.
    pub(crate) cfgs: Vec<Attribute>,
    /// Lints that the user allows on the method, for everything generated from it.
    pub(crate) allows: Vec<Attribute>,
    /// Docs and `#[deprecated]`, for the client's method.
    pub(crate) client_attributes: Vec<Attribute>,
    pub(crate) arguments: Vec<Argument>,
    /// The items that come in, of a method with an `Inbound`.
    pub(crate) input: Option<Items>,
    pub(crate) output: Output,
    /// `E` of the `Result<T, E>` that the method returns, or that the items are which it returns.
    pub(crate) error: Option<Type>,
}

/// The number of a method, and where it was given.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MethodId {
    pub(crate) value: u8,
    pub(crate) span: Span,
}

/// An argument other than `&self`.
pub(crate) enum Argument {
    /// The context of the call, which is not sent.
    Context(ContextArgument),
    Sent(Box<SentArgument>),
    /// The end of a stream by which items come in.
    Inbound,
    /// The end of a stream by which items go out.
    Outbound,
}

/// What comes out of a handler.
pub(crate) enum Output {
    /// One answer.
    Answer(Type),
    /// Items that the handler sends by an `Outbound`.
    Sent(Items),
    /// Items in a stream that the method returns.
    Returned(Items),
}

/// The items of a stream in one direction.
pub(crate) struct Items {
    pub(crate) ty: Type,
    /// How many may be on their way, if the method says so.
    pub(crate) window: Option<u32>,
}

/// How a method takes the context of the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ContextArgument {
    Borrowed,
    Owned,
}

/// An argument that is sent.
pub(crate) struct SentArgument {
    pub(crate) name: Ident,
    /// The type as written.
    pub(crate) ty: Type,
    pub(crate) form: Form,
    /// Where `#[serde(default)]` stands, if it does.
    pub(crate) default: Option<Span>,
}

/// How the server makes an argument out of what it decodes.
pub(crate) enum Form {
    /// Decoded as written, borrowing from the request if the type borrows.
    AsWritten,
    /// `&T`: a `T` is decoded and lent.
    Reference(Type),
    /// `&[T]`: a `Vec<T>` is decoded and lent.
    Slice(Type),
}

impl Service {
    /// The name of the service in descriptions.
    pub(crate) fn text(&self) -> String {
        self.name.unraw().to_string()
    }
}

impl Method {
    /// The name of the method in descriptions.
    pub(crate) fn text(&self) -> String {
        self.name.unraw().to_string()
    }

    /// The name of the constant with its handler id.
    pub(crate) fn constant(&self) -> Ident {
        Ident::new(&self.text().to_uppercase(), self.name.span())
    }

    /// The arguments that are sent, in their order.
    pub(crate) fn sent(&self) -> impl Iterator<Item = &SentArgument> {
        self.arguments.iter().filter_map(|argument| match argument {
            Argument::Sent(sent) => Some(&**sent),
            Argument::Context(_) | Argument::Inbound | Argument::Outbound => None,
        })
    }
}

impl Output {
    /// The type of the answer, or of the items that are one.
    pub(crate) fn ty(&self) -> &Type {
        match self {
            Self::Answer(ty) | Self::Sent(Items { ty, .. }) | Self::Returned(Items { ty, .. }) => ty,
        }
    }
}

impl SentArgument {
    /// The name of the argument on the wire.
    pub(crate) fn text(&self) -> String {
        self.name.unraw().to_string()
    }
}

//! A method: its attributes and its signature.
//!
//! The method is cleaned on the way, so that what is left in the trait means nothing but Rust: attributes of grid go,
//! and parts that are misuses of their own and that rustc would report a second time.

use syn::spanned::Spanned;
use syn::{
    FnArg, GenericParam, Ident, Lifetime, Pat, PatIdent, PatType, ReceiverKind, Safety, Signature, TraitItemFn, Type,
    parse_quote,
};

use super::attributes::{self, Kind};
use super::rpc::{self, RpcSettings};
use super::streams::{self, Direction};
use super::types;
use super::windows::WindowSettings;
use crate::errors::Errors;
use crate::model::{Argument, Items, Method, MethodId, Output, SentArgument};

/// Reads the method at this place, counted from 1, and cleans it. `None` if anything is wrong with it.
pub(super) fn parse(item: &mut TraitItemFn, place: usize, errors: &mut Errors) -> Option<Method> {
    let before = errors.count();
    let mut rpc = parse_rpc(item, errors);
    let has_body = item.default.is_some();
    check_qualifiers(&mut item.sig, errors);
    check_generics(&item.sig, errors);
    check_receiver(&item.sig, errors);
    let before_types = errors.count();
    let arguments = parse_arguments(&mut item.sig, has_body, errors);
    let returned = parse_output(&item.sig, arguments.outbound, errors);
    let is_understood = errors.count() == before_types;
    let input = arguments.inbound.map(|ty| Items { ty, window: rpc.windows.take(Direction::In, errors) });
    let output = output(returned.what, &mut rpc.windows, errors);
    if is_understood {
        // Otherwise the window may be for a stream that was not seen to be one.
        rpc.windows.finish(errors);
    }
    let detach = check_detach(rpc.detach, input.as_ref(), &output, errors);
    let id = match rpc.id {
        Some(id) => Some(id),
        None => place_id(&item.sig.ident, place, errors),
    };

    if errors.count() > before {
        return None;
    }
    Some(Method {
        name: item.sig.ident.clone(),
        id: id?,
        timeout: rpc.timeout,
        detach,
        docs: attributes::docs(&item.attrs),
        cfgs: attributes::copies(&item.attrs, &[Kind::Cfg]),
        allows: attributes::copies(&item.attrs, &[Kind::Allow]),
        client_attributes: attributes::copies(&item.attrs, &[Kind::Docs, Kind::Deprecated]),
        arguments: arguments.all,
        input,
        output,
        error: returned.error,
    })
}

fn parse_rpc(item: &mut TraitItemFn, errors: &mut Errors) -> RpcSettings {
    let mut attributes = attributes::take_rpc(&mut item.attrs, errors).into_iter();
    let rpc = attributes.next().map(|attribute| rpc::parse(&attribute, errors)).unwrap_or_default();
    for second in attributes {
        errors.at(second.path(), "a method has one `#[rpc(..)]`: put all its settings into the first");
    }
    rpc
}

fn place_id(name: &Ident, place: usize, errors: &mut Errors) -> Option<MethodId> {
    let Ok(value) = u8::try_from(place) else {
        errors.at(name, "a service has at most 255 methods: move some into a second service");
        return None;
    };
    Some(MethodId { value, span: name.span() })
}

/// `fn`, perhaps `async`, and nothing else.
fn check_qualifiers(sig: &mut Signature, errors: &mut Errors) {
    if let Some(constness) = sig.constness.take() {
        errors.at(constness, "a method runs on another node: remove `const`");
    }
    if let Safety::Unsafe(unsafety) = sig.safety {
        errors.at(unsafety, "a caller on another node can promise nothing: remove `unsafe`");
    }
    if let Some(abi) = &sig.abi {
        errors.at(abi, "a method is called over the network, not by an ABI: remove `extern`");
    }
    if let Some(variadic) = sig.variadic.take() {
        errors.at(variadic, "both nodes must know the arguments: write a `Vec<T>` instead of `...`");
    }
}

fn check_generics(sig: &Signature, errors: &mut Errors) {
    let generics = &sig.generics;
    if !generics.params.is_empty() {
        let lifetimes_only = generics.params.iter().all(|param| matches!(param, GenericParam::Lifetime(_)));
        let instead = if lifetimes_only { "leave the lifetimes out" } else { "write concrete types" };
        errors.at(&generics.params, format_args!("a method cannot be generic, as both nodes must know it: {instead}"));
    } else if let Some(clause) = &generics.where_clause {
        errors.at(clause.where_token, "a method has nothing to bound: remove the `where` clause");
    }
}

fn check_receiver(sig: &Signature, errors: &mut Errors) {
    let Some(receiver) = sig.receiver() else {
        errors.at(&sig.ident, "a method is called on the service that a node serves: add `&self`");
        return;
    };
    match &receiver.kind {
        ReceiverKind::Reference(_, None, None) => {}
        ReceiverKind::Reference(_, _, Some(mutability)) => errors
            .at(mutability, "calls run at the same time and share the service: write `&self`, and lock what changes"),
        ReceiverKind::Reference(_, Some(lifetime), None) => {
            // A lifetime that the method declares is reported where it is declared.
            if !declared_lifetimes(sig).contains(lifetime) {
                errors.at(lifetime, "a method takes the service without a lifetime: write `&self`");
            }
        }
        _ => errors.at(receiver, "all calls share the service: write `&self`"),
    }
}

fn declared_lifetimes(sig: &Signature) -> Vec<Lifetime> {
    sig.generics.lifetimes().map(|param| param.lifetime.clone()).collect()
}

/// The arguments of a method.
#[derive(Default)]
struct Arguments {
    all: Vec<Argument>,
    /// The type of the items that come in.
    inbound: Option<Type>,
    outbound: Option<OutboundArgument>,
}

/// An argument by which items go out.
struct OutboundArgument {
    ty: Type,
    item: Type,
}

fn parse_arguments(sig: &mut Signature, has_body: bool, errors: &mut Errors) -> Arguments {
    let declared = declared_lifetimes(sig);
    let mut arguments = Arguments::default();
    for input in &mut sig.inputs {
        if let FnArg::Typed(input) = input {
            parse_argument(input, has_body, &declared, &mut arguments, errors);
        }
    }
    arguments
}

fn parse_argument(
    input: &mut PatType,
    has_body: bool,
    declared: &[Lifetime],
    arguments: &mut Arguments,
    errors: &mut Errors,
) {
    let default = attributes::take_serde_default(&mut input.attrs, errors);
    let name = parse_name(&mut input.pat, has_body, errors);
    if let Some(context) = types::context(&input.ty, errors) {
        if let Some(attribute) = default {
            errors.at(attribute.path(), "the context is not sent and so never missing: remove this attribute");
        }
        if arguments.all.iter().any(|earlier| matches!(earlier, Argument::Context(_))) {
            errors.at(&input.ty, "a call has one context: remove this argument");
        }
        return arguments.all.push(Argument::Context(context));
    }
    if let Some((direction, item)) = streams::argument(&mut input.ty, errors) {
        if let Some(attribute) = default {
            errors.at(attribute.path(), "a stream is not sent and so never missing: remove this attribute");
        }
        return arguments.add_stream(direction, &input.ty, item, errors);
    }
    let form = types::argument(&input.ty, declared, errors);
    let default = default.map(|attribute| attribute.path().span());
    if let Some(name) = name {
        let sent = SentArgument { name, ty: (*input.ty).clone(), form, default };
        arguments.all.push(Argument::Sent(Box::new(sent)));
    }
}

impl Arguments {
    fn add_stream(&mut self, direction: Direction, ty: &Type, item: Type, errors: &mut Errors) {
        let is_second = match direction {
            Direction::In => self.inbound.replace(item).is_some(),
            Direction::Out => self.outbound.replace(OutboundArgument { ty: ty.clone(), item }).is_some(),
        };
        if is_second {
            errors
                .at(ty, "a call has one stream in each direction: remove this argument, and make an enum of the items");
        }
        self.all.push(match direction {
            Direction::In => Argument::Inbound,
            Direction::Out => Argument::Outbound,
        });
    }
}

/// The plain name that an argument must have. Without a body rustc allows no other pattern either, so it goes.
fn parse_name(pattern: &mut Pat, has_body: bool, errors: &mut Errors) -> Option<Ident> {
    match &*pattern {
        Pat::Ident(PatIdent { mutability: Some(mutability), .. }) => {
            errors.at(mutability, "an argument is a plain name: remove `mut`, and write `let mut` in the body");
        }
        Pat::Ident(PatIdent { by_ref: None, subpat: None, ident, .. }) => return Some(ident.clone()),
        Pat::Wild(wild) => errors.at(wild, "an argument is sent by its name: write one instead of `_`"),
        other => errors.at(other, "an argument is sent by its name: write one, and take it apart in the body"),
    }
    if !has_body {
        *pattern = parse_quote!(_);
    }
    None
}

/// What a method gives, and the error that it can end with.
struct Returned {
    what: What,
    error: Option<Type>,
}

/// What a method gives: an output without its window.
enum What {
    Answer(Type),
    Sent(Type),
    Stream(Type),
}

fn parse_output(sig: &Signature, outbound: Option<OutboundArgument>, errors: &mut Errors) -> Returned {
    let before = errors.count();
    if let Some((item, error)) = streams::returned(sig, errors) {
        if let Some(OutboundArgument { ty, .. }) = outbound {
            errors.at(ty, "the items go out in the stream that is returned: remove this argument");
        }
        return Returned { what: What::Stream(item), error };
    }
    let (answer, error) = match sig.asyncness {
        Some(_) => types::answer(&sig.output, errors),
        None => {
            errors.at(sig.fn_token, format_args!("a call waits for its answer: write `async fn {}`", sig.ident));
            (parse_quote!(()), None)
        }
    };
    let what = match outbound {
        None => What::Answer(answer),
        Some(OutboundArgument { item, .. }) => {
            if !types::is_unit(&answer) && errors.count() == before {
                errors.at(&answer, "the items are what the method answers: return `Result<(), E>` or nothing");
            }
            What::Sent(item)
        }
    };
    Returned { what, error }
}

fn output(what: What, windows: &mut WindowSettings, errors: &mut Errors) -> Output {
    match what {
        What::Answer(ty) => Output::Answer(ty),
        What::Sent(ty) => Output::Sent(Items { ty, window: windows.take(Direction::Out, errors) }),
        What::Stream(ty) => Output::Returned(Items { ty, window: windows.take(Direction::Out, errors) }),
    }
}

/// Only a handler without streams can go on when nobody is there any more.
fn check_detach(detach: Option<Ident>, input: Option<&Items>, output: &Output, errors: &mut Errors) -> bool {
    let Some(key) = detach else { return false };
    if input.is_some() || !matches!(output, Output::Answer(_)) {
        errors.at(&key, "the handler of a stream ends with its call: remove `detach`");
    }
    true
}

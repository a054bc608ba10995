//! From tokens to the model: the attribute, the trait, its methods.
//!
//! Every misuse is reported where it stands, and parsing goes on with what is left.

mod attributes;
mod method;
mod rpc;
mod service;
mod settings;
mod streams;
mod types;
mod windows;

use proc_macro2::TokenStream;
use syn::parse::{ParseStream, Parser};
use syn::{Attribute, ItemTrait, TraitItem, TraitItemFn, Visibility};

use self::attributes::Kind;
use self::service::ServiceSettings;
pub(crate) use self::streams::returned_stream;
pub(crate) use self::types::is_bytes;
use crate::errors::Errors;
use crate::model::{Method, Service};

/// What was understood of the attribute and the trait.
pub(crate) struct Parsed {
    /// The trait, cleaned of everything that only grid understands.
    pub(crate) item: ItemTrait,
    /// `None` if nothing can be generated from this trait.
    pub(crate) service: Option<Service>,
}

/// Reads the attribute and the item under it. `None` if the item is not a trait.
pub(crate) fn parse(attribute: TokenStream, item: TokenStream, errors: &mut Errors) -> Option<Parsed> {
    let settings = service::parse(attribute, errors);
    let mut item = match syn::parse2::<ItemTrait>(item.clone()) {
        Ok(item) => item,
        Err(error) => {
            errors.add(not_a_trait(item).unwrap_or(error));
            return None;
        }
    };
    let is_plain = check_trait(&mut item, errors);
    let methods = parse_items(&mut item, errors);
    let service = is_plain.then(|| make_service(settings, &item, methods));
    Some(Parsed { item, service })
}

fn make_service(settings: ServiceSettings, item: &ItemTrait, methods: Vec<Method>) -> Service {
    let ServiceSettings { id, codec, grid } = settings;
    Service {
        grid,
        id,
        codec,
        vis: item.vis.clone(),
        name: item.ident.clone(),
        docs: attributes::docs(&item.attrs),
        allows: attributes::copies(&item.attrs, &[Kind::Allow]),
        deprecated: attributes::copies(&item.attrs, &[Kind::Deprecated]),
        methods,
    }
}

/// Whether the trait is one that a service can be made from.
fn check_trait(item: &mut ItemTrait, errors: &mut Errors) -> bool {
    for rpc in attributes::take_rpc(&mut item.attrs, errors) {
        errors.at(rpc.path(), "`#[rpc]` is for methods: put it on one, or its settings into `#[grid::service(..)]`");
    }
    if let Some(unsafety) = &item.unsafety {
        errors.at(unsafety, "a caller on another node can promise nothing: remove `unsafe`");
    }
    if let Some(auto) = item.modifiers.auto_token.take() {
        errors.at(auto, "a service is implemented by hand: remove `auto`");
    }
    let generics = &item.generics;
    if !generics.params.is_empty() {
        errors.at(&generics.params, "a service cannot be generic, as both nodes must know it: write concrete types");
        return false;
    }
    if let Some(clause) = &generics.where_clause {
        errors.at(clause.where_token, "a service has nothing to bound: remove the `where` clause");
        return false;
    }
    true
}

/// The methods without misuses. A method's place counts all of them, so that ids do not depend on a `cfg`.
fn parse_items(item: &mut ItemTrait, errors: &mut Errors) -> Vec<Method> {
    let mut methods = Vec::new();
    let mut place = 0;
    for item in &mut item.items {
        if let TraitItem::Verbatim(tokens) = item
            && let Ok((vis, method)) = visible_method.parse2(tokens.clone())
        {
            errors.at(vis, "a method is as visible as its trait: remove its own visibility");
            *item = TraitItem::Fn(method);
        }
        match item {
            TraitItem::Fn(item) => {
                place += 1;
                methods.extend(method::parse(item, place, errors));
            }
            TraitItem::Const(item) => errors.at(item.const_token, ONLY_METHODS),
            TraitItem::Type(item) => errors.at(item.type_token, ONLY_METHODS),
            TraitItem::Macro(item) => {
                errors.at(&item.mac.path, "the methods of a service must be seen: write out what this macro makes");
            }
            other => errors.at(other, ONLY_METHODS),
        }
    }
    methods
}

/// A method with a visibility, which `TraitItem` does not know.
fn visible_method(input: ParseStream<'_>) -> syn::Result<(Visibility, TraitItemFn)> {
    let attributes = input.call(Attribute::parse_outer)?;
    let vis = input.parse()?;
    let method: TraitItemFn = input.parse()?;
    Ok((vis, TraitItemFn { attrs: attributes, ..method }))
}

/// The error for an item that is no trait, where it says what it is, behind its attributes and visibility. `None` for a
/// trait that is not written out yet.
fn not_a_trait(item: TokenStream) -> Option<syn::Error> {
    let keyword = |input: ParseStream<'_>| {
        input.call(Attribute::parse_outer)?;
        input.parse::<Visibility>()?;
        let mut ahead = input.parse::<TokenStream>()?.into_iter();
        Ok(ahead.next().filter(|_| !ahead.any(|token| token.to_string() == "trait")))
    };
    let keyword = keyword.parse2(item).ok()??;
    Some(syn::Error::new(keyword.span(), "`#[grid::service]` describes a trait: put it on a `trait`"))
}

const ONLY_METHODS: &str = "a service has nothing but methods: move this out of the trait";

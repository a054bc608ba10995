//! The `#[grid::service]` attribute of [grid]. Use it through that crate, which re-exports it.
//!
//! The way through the code: [`service`] calls `parse` (tokens to `model`), `validate` (how methods fit together) and
//! `expand` (`model` to tokens). All three report misuses to one collector in `errors`, so that all of them are shown.
//!
//! [grid]: https://docs.rs/grid-rpc

mod errors;
mod expand;
mod model;
mod parse;
mod render;
mod validate;

use proc_macro2::TokenStream;
use quote::quote;

use crate::errors::Errors;

/// Makes a service out of a trait.
///
/// TODO-DOCS
#[proc_macro_attribute]
pub fn service(attribute: proc_macro::TokenStream, item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    expand(attribute.into(), item.into()).into()
}

/// The whole way of the macro. After a misuse, the trait is still emitted, and so is what can be made from the rest.
fn expand(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::new();
    let expanded = match parse::parse(attribute, item.clone(), &mut errors) {
        None => item,
        Some(parse::Parsed { item, service: None }) => expand::expand_trait(item),
        Some(parse::Parsed { item, service: Some(mut service) }) => {
            validate::validate(&mut service, &mut errors);
            expand::expand(item, &service)
        }
    };
    let errors = errors.finish();
    quote!(#expanded #errors)
}

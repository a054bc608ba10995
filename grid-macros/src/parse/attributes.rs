//! The attributes of rustc on the trait and its methods: which of them are copied to what is generated.
//!
//! Lints that the user lowers are copied, `expect` as `allow`, since what is expected may not be there in the copy. Lints
//! that the user raises are not: the user cannot mend generated code.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::{Attribute, Expr, ExprLit, Ident, Lit, Meta, Path, Token, parse_quote};

use crate::errors::Errors;

/// A kind of attribute that is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Docs,
    Cfg,
    Deprecated,
    Allow,
}

/// Copies of the attributes of these kinds, also of those inside `cfg_attr`.
pub(super) fn copies(attributes: &[Attribute], kinds: &[Kind]) -> Vec<Attribute> {
    let copied = attributes.iter().filter_map(|attribute| {
        let meta = copy(&attribute.meta, kinds)?;
        Some(Attribute { meta, ..attribute.clone() })
    });
    copied.collect()
}

fn copy(meta: &Meta, kinds: &[Kind]) -> Option<Meta> {
    if let Some((condition, metas)) = cfg_attr(meta) {
        let mut inner = metas.iter().filter_map(|meta| copy(meta, kinds)).peekable();
        inner.peek()?;
        return Some(parse_quote!(cfg_attr(#condition, #(#inner),*)));
    }
    if !kinds.contains(&kind(meta.path())?) {
        return None;
    }
    let mut meta = meta.clone();
    if let Meta::List(list) = &mut meta
        && list.path.is_ident("expect")
    {
        list.path = Ident::new("allow", list.path.get_ident()?.span()).into();
    }
    Some(meta)
}

fn kind(path: &Path) -> Option<Kind> {
    match path.get_ident()?.to_string().as_str() {
        "doc" => Some(Kind::Docs),
        "cfg" => Some(Kind::Cfg),
        "deprecated" => Some(Kind::Deprecated),
        "allow" | "expect" => Some(Kind::Allow),
        _ => None,
    }
}

/// Removes `#[rpc]` and returns those found. One inside `cfg_attr` is a misuse.
pub(super) fn take_rpc(attributes: &mut Vec<Attribute>, errors: &mut Errors) -> Vec<Attribute> {
    let mut taken = Vec::new();
    attributes.retain(|attribute| {
        if attribute.path().is_ident("rpc") {
            taken.push(attribute.clone());
            return false;
        }
        match hidden_rpc(&attribute.meta) {
            Some(rpc) => {
                errors.at(rpc, "`#[rpc]` cannot depend on a `cfg`: write it outside `cfg_attr`");
                false
            }
            None => true,
        }
    });
    taken
}

/// The `rpc` inside a `cfg_attr`.
fn hidden_rpc(meta: &Meta) -> Option<Path> {
    let (_, metas) = cfg_attr(meta)?;
    metas.iter().find_map(|meta| if meta.path().is_ident("rpc") { Some(meta.path().clone()) } else { hidden_rpc(meta) })
}

/// The condition and the attributes of a `cfg_attr`; `None` for anything else, and for what rustc will not accept.
fn cfg_attr(meta: &Meta) -> Option<(TokenStream, Punctuated<Meta, Token![,]>)> {
    let Meta::List(list) = meta else { return None };
    if !list.path.is_ident("cfg_attr") {
        return None;
    }
    let mut tokens = list.tokens.clone().into_iter();
    let is_comma = |token: &TokenTree| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ',');
    let condition = tokens.by_ref().take_while(|token| !is_comma(token)).collect();
    let metas = Punctuated::parse_terminated.parse2(tokens.collect()).ok()?;
    Some((condition, metas))
}

/// The text of the doc comments, without the space that they start with.
pub(super) fn docs(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value()),
            _ => None,
        },
        _ => None,
    });
    let lines: Vec<String> = lines.map(|text| text.strip_prefix(' ').unwrap_or(&text).trim_end().to_owned()).collect();
    lines.join("\n").trim_matches('\n').to_owned()
}

/// Removes what may stand on an argument, `#[serde(default)]`, and returns where it stood. Anything else is a misuse.
pub(super) fn take_serde_default(attributes: &mut Vec<Attribute>, errors: &mut Errors) -> Option<Attribute> {
    let mut default = None;
    for attribute in attributes.drain(..) {
        let path = attribute.path();
        if path.is_ident("serde") {
            let inner = match &attribute.meta {
                Meta::List(list) => list.tokens.clone(),
                other => other.to_token_stream(),
            };
            if inner.to_string() == "default" {
                default = Some(attribute);
            } else {
                errors.at(inner, "only `#[serde(default)]` may stand on an argument: put anything else on its type");
            }
        } else if path.is_ident("cfg") || path.is_ident("cfg_attr") {
            errors
                .at(path, "an argument cannot depend on a `cfg`, as both nodes must agree on it: make it an `Option`");
        } else if path.is_ident("doc") {
            errors.at(attribute, "an argument has no documentation of its own: write about it at the method");
        } else {
            errors.at(path, "only `#[serde(default)]` may stand on an argument: remove this attribute");
        }
    }
    default
}

#[cfg(test)]
mod tests {
    use quote::quote;

    use super::*;

    fn text(attributes: &[Attribute]) -> String {
        quote!(#(#attributes)*).to_string().replace(' ', "")
    }

    #[test]
    fn copies_are_of_the_kinds_asked_for_also_inside_cfg_attr() {
        let attributes = [
            parse_quote!(#[doc = "text"]),
            parse_quote!(#[cfg(unix)]),
            parse_quote!(#[cfg_attr(all(a, b), deny(x), cfg(c), cfg_attr(d, deprecated, inline))]),
            parse_quote!(#[deny(lint)]),
            parse_quote!(#[expect(lint, reason = "why")]),
            parse_quote!(#[cfg_attr(true, must_use)]),
        ];
        assert_eq!(text(&copies(&attributes, &[Kind::Cfg])), "#[cfg(unix)]#[cfg_attr(all(a,b),cfg(c))]");
        assert_eq!(
            text(&copies(&attributes, &[Kind::Docs, Kind::Deprecated, Kind::Allow])),
            "#[doc=\"text\"]#[cfg_attr(all(a,b),cfg_attr(d,deprecated))]#[allow(lint,reason=\"why\")]"
        );
    }

    #[test]
    fn docs_lose_their_indent_and_keep_their_lines() {
        let attributes = [
            parse_quote!(#[doc = " One."]),
            parse_quote!(#[doc = ""]),
            parse_quote!(#[inline]),
            parse_quote!(#[doc = "   Two. "]),
            parse_quote!(#[doc(hidden)]),
        ];
        assert_eq!(docs(&attributes), "One.\n\n  Two.");
    }

    #[test]
    fn rpc_is_taken_out_and_found_inside_cfg_attr() {
        let mut errors = Errors::new();
        let mut attributes = vec![
            parse_quote!(#[rpc(id = 1)]),
            parse_quote!(#[cfg_attr(a, cfg_attr(b, rpc(id = 2)))]),
            parse_quote!(#[cfg(c)]),
        ];
        assert_eq!(take_rpc(&mut attributes, &mut errors).len(), 1);
        assert_eq!(text(&attributes), "#[cfg(c)]");
        assert!(errors.finish().to_string().contains("outside `cfg_attr`"));
    }
}

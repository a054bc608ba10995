//! The inside of `#[grid::service(..)]` and `#[rpc(..)]`: settings such as `id = 7` and `detach`, parted by commas.
//!
//! What the settings mean is for the attributes that have them; here is only their form.

use std::fmt::Display;
use std::ops::RangeInclusive;

use proc_macro2::{Span, TokenStream};
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::spanned::Spanned;
use syn::{Expr, ExprLit, Ident, Lit, LitStr, Token};

use crate::errors::Errors;

/// A `key`, or a `key = value`.
pub(super) struct Setting {
    pub(super) key: Ident,
    value: Option<Expr>,
}

/// The settings in these tokens, in their order and each key once. Stops at what is not a setting.
pub(super) fn parse(tokens: TokenStream, errors: &mut Errors) -> Vec<Setting> {
    let mut settings: Vec<Setting> = Vec::new();
    let parsed = (|input: ParseStream<'_>| {
        while !input.is_empty() {
            let setting = Setting::parse(input)?;
            if settings.iter().any(|earlier| earlier.key == setting.key) {
                errors.at(&setting.key, format_args!("`{}` is given twice: keep one of them", setting.key));
            } else {
                settings.push(setting);
            }
        }
        Ok(())
    })
    .parse2(tokens);
    if let Err(error) = parsed {
        errors.add(error);
    }
    settings
}

impl Setting {
    /// Takes one setting and the comma behind it.
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let key = input
            .call(Ident::parse_any)
            .map_err(|error| syn::Error::new(error.span(), "expected a setting such as `id = 7`"))?;
        let value = match input.parse::<Option<Token![=]>>()? {
            Some(_) => Some(input.parse()?),
            None => None,
        };
        if !input.is_empty() && input.parse::<Token![,]>().is_err() {
            let expected = if value.is_some() { "`,`" } else { "`=` and a value, or `,`," };
            return Err(input.error(format_args!("expected {expected} after the setting `{key}`")));
        }
        Ok(Self { key, value })
    }

    /// The value as an integer in this range.
    pub(super) fn integer<N>(&self, range: RangeInclusive<N>, errors: &mut Errors) -> Option<N>
    where
        N: TryFrom<u64> + PartialOrd + Display,
    {
        let Self { key, .. } = self;
        let (min, max) = (range.start(), range.end());
        let value = self.required(format_args!("{key} = 7"), errors)?;
        let Some(Lit::Int(literal)) = literal(value) else {
            errors.at(value, format_args!("`{key}` is an integer from {min} to {max}, such as `{key} = 7`"));
            return None;
        };
        let number = literal.base10_parse::<u64>().ok().and_then(|number| N::try_from(number).ok());
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            errors.at(literal, format_args!("`{key}` is from {min} to {max}"));
        }
        number
    }

    /// The value as a string. The example is one of its own.
    pub(super) fn string(&self, example: &str, errors: &mut Errors) -> Option<&LitStr> {
        let key = &self.key;
        let value = self.required(format_args!("{key} = {example:?}"), errors)?;
        match literal(value) {
            Some(Lit::Str(literal)) => Some(literal),
            _ => {
                errors.at(value, format_args!("`{key}` is a string, such as `{key} = {example:?}`"));
                None
            }
        }
    }

    /// Where the value stands, or the key if there is none.
    pub(super) fn span(&self) -> Span {
        self.value.as_ref().map_or(self.key.span(), Spanned::span)
    }

    /// Checks that there is no value.
    pub(super) fn flag(&self, errors: &mut Errors) {
        if let Some(value) = &self.value {
            errors.at(value, format_args!("`{0}` has no value: write `{0}` alone, or leave it out", self.key));
        }
    }

    fn required(&self, example: std::fmt::Arguments<'_>, errors: &mut Errors) -> Option<&Expr> {
        if self.value.is_none() {
            errors.at(&self.key, format_args!("`{}` has no value: write `{example}`", self.key));
        }
        self.value.as_ref()
    }
}

/// The literal in an expression, also where a `macro_rules!` macro has put it into an invisible group.
fn literal(value: &Expr) -> Option<&Lit> {
    match value {
        Expr::Lit(ExprLit { lit, .. }) => Some(lit),
        Expr::Group(group) => literal(&group.expr),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use quote::quote;

    use super::*;

    /// The keys found, and the messages.
    fn parsed(tokens: TokenStream) -> (Vec<String>, String) {
        let mut errors = Errors::new();
        let settings = parse(tokens, &mut errors);
        (settings.iter().map(|setting| setting.key.to_string()).collect(), errors.finish().to_string())
    }

    #[test]
    fn settings_are_keys_with_or_without_values() {
        let (keys, errors) = parsed(quote!(id = 7, detach, crate = "x",));
        assert_eq!(keys, ["id", "detach", "crate"]);
        assert_eq!(errors, "");
        assert_eq!(parsed(TokenStream::new()), (Vec::new(), String::new()));
    }

    #[test]
    fn what_stands_before_a_mistake_is_kept() {
        let (keys, errors) = parsed(quote!(id = 7, detach 5, codec = "named"));
        assert_eq!(keys, ["id"]);
        assert!(errors.contains("after the setting `detach`"), "{errors}");
        let (keys, errors) = parsed(quote!(id = 7, id = 8, detach));
        assert_eq!(keys, ["id", "detach"]);
        assert!(errors.contains("given twice"), "{errors}");
    }
}

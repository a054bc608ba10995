//! Collects the misuses found in one service, so that all of them are reported together.
//!
//! Parsing and validation go on after a misuse with what is left. Whoever holds an [`Errors`] must end with
//! [`Errors::finish`]; dropping it instead would lose the messages, and panics.

use std::fmt::Display;
use std::thread;

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;

/// The misuses found so far. Each is one message at one place.
#[derive(Debug)]
pub(crate) struct Errors {
    /// `None` once finished.
    found: Option<Vec<syn::Error>>,
}

impl Errors {
    pub(crate) fn new() -> Self {
        Self { found: Some(Vec::new()) }
    }

    /// Reports a misuse at these tokens, from the first to the last.
    pub(crate) fn at(&mut self, tokens: impl ToTokens, message: impl Display) {
        self.add(syn::Error::new_spanned(tokens, message));
    }

    /// Reports a misuse at this place.
    pub(crate) fn at_span(&mut self, span: Span, message: impl Display) {
        self.add(syn::Error::new(span, message));
    }

    pub(crate) fn add(&mut self, error: syn::Error) {
        self.found.get_or_insert_default().push(error);
    }

    /// How many there are. What is parsed between two equal counts has no misuse.
    pub(crate) fn count(&self) -> usize {
        self.found.as_ref().map_or(0, Vec::len)
    }

    /// The messages as `compile_error!`, nothing if there are none.
    #[must_use]
    pub(crate) fn finish(mut self) -> TokenStream {
        self.found.take().into_iter().flatten().map(syn::Error::into_compile_error).collect()
    }
}

impl Drop for Errors {
    fn drop(&mut self) {
        if !thread::panicking() {
            assert!(self.found.is_none(), "the misuses that were found have not been reported");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_misuses_are_reported() {
        let mut errors = Errors::new();
        errors.at_span(Span::call_site(), "one");
        errors.at_span(Span::call_site(), "two");
        assert_eq!(errors.count(), 2);
        let tokens = errors.finish().to_string();
        assert!(tokens.contains("\"one\"") && tokens.contains("\"two\""), "{tokens}");
    }

    #[test]
    #[should_panic(expected = "have not been reported")]
    fn misuses_cannot_be_forgotten() {
        drop(Errors::new());
    }
}

//! The settings of a method: what stands between the parentheses of `#[rpc(..)]`.

use std::time::Duration;

use proc_macro2::TokenStream;
use syn::{Attribute, Ident, Meta};

use super::settings::{self, Setting};
use super::windows::WindowSettings;
use crate::errors::Errors;
use crate::model::MethodId;

/// What the attribute says; all of it may be left out.
#[derive(Debug, Default)]
pub(super) struct RpcSettings {
    pub(super) id: Option<MethodId>,
    pub(super) timeout: Option<Duration>,
    /// Where it stands.
    pub(super) detach: Option<Ident>,
    pub(super) windows: WindowSettings,
}

pub(super) fn parse(attribute: &Attribute, errors: &mut Errors) -> RpcSettings {
    let tokens = match &attribute.meta {
        Meta::Path(_) => TokenStream::new(),
        Meta::List(list) => list.tokens.clone(),
        Meta::NameValue(pair) => {
            errors.at(pair, "expected settings in parentheses, such as `#[rpc(id = 7)]`");
            return RpcSettings::default();
        }
    };
    let mut rpc = RpcSettings::default();
    for setting in settings::parse(tokens, errors) {
        let key = &setting.key;
        match key.to_string().as_str() {
            "id" => rpc.id = parse_id(&setting, errors),
            "timeout" => rpc.timeout = parse_timeout(&setting, errors),
            "detach" => {
                setting.flag(errors);
                rpc.detach = Some(key.clone());
            }
            _ if rpc.windows.read(&setting, errors) => {}
            _ => errors.at(
                key,
                format_args!(
                    "unknown setting `{key}`: a method has `id`, `timeout` and `detach`, and one with streams `window`, \
                     `in_window` and `out_window`"
                ),
            ),
        }
    }
    rpc
}

fn parse_id(setting: &Setting, errors: &mut Errors) -> Option<MethodId> {
    let value = setting.integer(1..=u8::MAX, errors)?;
    Some(MethodId { value, span: setting.span() })
}

fn parse_timeout(setting: &Setting, errors: &mut Errors) -> Option<Duration> {
    let literal = setting.string("5s", errors)?;
    let Ok(timeout) = humantime::parse_duration(&literal.value()) else {
        errors.at(literal, "not a duration: write numbers with units, such as `timeout = \"1m 30s\"` or \"250ms\"");
        return None;
    };
    if timeout.subsec_nanos() % NANOS_PER_MILLI != 0 || timeout.is_zero() {
        errors.at(literal, "a timeout is one or more whole milliseconds, such as `timeout = \"250ms\"`");
        return None;
    }
    if timeout > TIMEOUT_MAX {
        errors
            .at(literal, "the timeout is more than 49 days, which the protocol cannot say: leave it out or shorten it");
        return None;
    }
    Some(timeout)
}

/// A deadline travels as milliseconds in 32 bits.
const TIMEOUT_MAX: Duration = Duration::from_millis(u32::MAX as u64);
const NANOS_PER_MILLI: u32 = 1_000_000;

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::*;

    fn parsed(attribute: &Attribute) -> (RpcSettings, String) {
        let mut errors = Errors::new();
        let rpc = parse(attribute, &mut errors);
        (rpc, errors.finish().to_string())
    }

    #[test]
    fn timeouts_are_whole_milliseconds_that_fit_the_protocol() {
        for (text, millis) in [("5s", Some(5000)), ("1m 30s", Some(90_000)), ("49days", Some(4_233_600_000))] {
            let (rpc, errors) = parsed(&parse_quote!(#[rpc(timeout = #text)]));
            assert_eq!((rpc.timeout, errors.as_str()), (millis.map(Duration::from_millis), ""), "{text}");
        }
        for text in ["0s", "500us", "1s 1ns", "50days", "5 parsecs", "", "-1s"] {
            let (rpc, errors) = parsed(&parse_quote!(#[rpc(timeout = #text)]));
            assert!(rpc.timeout.is_none() && errors.contains("compile_error"), "{text}: {errors}");
        }
    }

    #[test]
    fn an_empty_attribute_says_nothing() {
        for attribute in [parse_quote!(#[rpc]), parse_quote!(#[rpc()])] {
            let (rpc, errors) = parsed(&attribute);
            assert!(rpc.id.is_none() && rpc.timeout.is_none() && rpc.detach.is_none());
            assert_eq!(errors, "");
        }
    }
}

//! Checks how the methods of a service fit together: numbers, names, and how arguments are sent.

use crate::errors::Errors;
use crate::model::{Method, SentArgument, Service};

/// Reports what does not fit, and removes the methods it is about.
pub(crate) fn validate(service: &mut Service, errors: &mut Errors) {
    let mut valid: Vec<Method> = Vec::new();
    for method in service.methods.drain(..) {
        let before = errors.count();
        if valid.iter().any(|earlier| earlier.name == method.name && !are_alternatives(earlier, &method)) {
            // Reported by rustc for the trait.
            continue;
        }
        check_id(&valid, &method, errors);
        check_constant(&valid, &method, errors);
        check_arguments(&method, errors);
        if errors.count() == before {
            valid.push(method);
        }
    }
    service.methods = valid;
}

/// Two forms of one method, of which `cfg` leaves one. If it leaves both, rustc reports that for the trait.
fn are_alternatives(first: &Method, second: &Method) -> bool {
    first.name == second.name && !first.cfgs.is_empty() && !second.cfgs.is_empty()
}

fn check_id(earlier: &[Method], method: &Method, errors: &mut Errors) {
    let same = |other: &&Method| other.id.value == method.id.value && !are_alternatives(other, method);
    if let Some(other) = earlier.iter().find(same) {
        errors.at_span(
            method.id.span,
            format_args!(
                "method id {} is that of `{}`: give one of them another, with `#[rpc(id = ..)]`",
                method.id.value, other.name
            ),
        );
    }
}

/// The names of methods and constants share a namespace, and constants are methods in upper case.
fn check_constant(earlier: &[Method], method: &Method, errors: &mut Errors) {
    let constant = method.constant();
    if constant == method.text() || method.text().starts_with(RESERVED) {
        errors.at(
            &method.name,
            format_args!(
                "the constant of this method would be `{constant}`, which is taken: give it another name, in lower case"
            ),
        );
    } else if let Some(other) =
        earlier.iter().find(|other| other.constant() == constant && !are_alternatives(other, method))
    {
        errors.at(
            &method.name,
            format_args!(
                "the constant of this method would be `{constant}`, as for `{}`: rename one of them",
                other.name
            ),
        );
    }
}

fn check_arguments(method: &Method, errors: &mut Errors) {
    let sent: Vec<&SentArgument> = method.sent().collect();
    if let Some(beyond) = sent.get(ARGUMENTS_MAX) {
        errors.at(
            &beyond.name,
            format_args!("a method has at most {ARGUMENTS_MAX} arguments: put some of them into a struct"),
        );
    }
    if let [SentArgument { default: Some(default), .. }] = sent.as_slice() {
        errors.at_span(
            *default,
            "a lone argument is sent as itself and never missing: remove this attribute, or make it an `Option`",
        );
    }
    for (place, argument) in sent.iter().enumerate() {
        let is_twin = |earlier: &&SentArgument| earlier.text() == argument.text();
        if sent.iter().take(place).any(is_twin) {
            errors
                .at(&argument.name, format_args!("there is another argument `{}`: rename one of them", argument.name));
        }
    }
}

/// As many as `grid::__private::Named` can hold.
const ARGUMENTS_MAX: usize = 12;
/// What the names of private constants start with, in the lower case of a method.
const RESERVED: &str = "__grid_";

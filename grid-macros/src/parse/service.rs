//! The settings of a service: what stands between the parentheses of `#[grid::service(..)]`.

use proc_macro2::{Span, TokenStream};
use syn::{Path, parse_quote};

use super::settings::{self, Setting};
use crate::errors::Errors;
use crate::model::Codec;

/// What the attribute says, with stand-ins for what it should have said.
pub(super) struct ServiceSettings {
    pub(super) id: u8,
    pub(super) codec: Codec,
    pub(super) grid: Path,
}

pub(super) fn parse(attribute: TokenStream, errors: &mut Errors) -> ServiceSettings {
    let before = errors.count();
    let mut id = None;
    let mut codec = Codec::Named;
    let mut grid = parse_quote!(::grid);
    for setting in settings::parse(attribute, errors) {
        match setting.key.to_string().as_str() {
            "id" => id = setting.integer(0..=ID_MAX, errors),
            "codec" => codec = parse_codec(&setting, errors).unwrap_or(codec),
            "crate" => grid = parse_crate(&setting, errors).unwrap_or(grid),
            _ => errors.at(
                &setting.key,
                format_args!("unknown setting `{}`: a service has `id`, `codec` and `crate`", setting.key),
            ),
        }
    }
    if id.is_none() && errors.count() == before {
        errors.at_span(
            Span::call_site(),
            "the service has no number: write `#[grid::service(id = 7)]`, with one from 0 to 254",
        );
    }
    ServiceSettings { id: id.unwrap_or_default(), codec, grid }
}

fn parse_codec(setting: &Setting, errors: &mut Errors) -> Option<Codec> {
    let literal = setting.string("named", errors)?;
    match literal.value().as_str() {
        "named" => Some(Codec::Named),
        "compact" => Some(Codec::Compact),
        _ => {
            errors.at(literal, "unknown codec: write `codec = \"named\"` or `codec = \"compact\"`");
            None
        }
    }
}

fn parse_crate(setting: &Setting, errors: &mut Errors) -> Option<Path> {
    let literal = setting.string("path::to::grid", errors)?;
    match literal.parse_with(Path::parse_mod_style) {
        Ok(path) => Some(path),
        Err(_) => {
            errors.at(literal, "not a path: write the path to the grid crate, such as `crate = \"path::to::grid\"`");
            None
        }
    }
}

/// The highest number of a service: 255 is kept for grid's own.
const ID_MAX: u8 = 254;

//! The types of arguments, answers and items: how each is sent, and what cannot be sent.
//!
//! Types are known by how they are written: `Context` and `Result` by the last segment of their path.

use syn::visit::{self, Visit};
use syn::{
    GenericArgument, Lifetime, Path, PathArguments, PathSegment, ReturnType, Type, TypeFnPtr, TypeImplTrait,
    TypeReference, TypeTraitObject, parse_quote,
};

use super::streams::{is_stream, stream_bound};
use crate::errors::Errors;
use crate::model::{ContextArgument, Form};

/// The type of an argument that is sent. The lifetimes are those that the method declares, which are reported there.
pub(super) fn argument(ty: &Type, declared: &[Lifetime], errors: &mut Errors) -> Form {
    SentType { role: Role::Argument { declared }, errors }.visit_type(ty);
    let Type::Reference(reference) = bare(ty) else { return Form::AsWritten };
    match bare(&reference.elem) {
        Type::Slice(slice) if is_named(&slice.elem, "u8") => Form::AsWritten,
        Type::Slice(slice) => Form::Slice((*slice.elem).clone()),
        elem if is_named(elem, "str") => Form::AsWritten,
        elem => Form::Reference(elem.clone()),
    }
}

/// Whether a type is bytes, which msgpack has a form of its own for: `&[u8]`, `Vec<u8>`, or an `Option` of these.
pub(crate) fn is_bytes(ty: &Type) -> bool {
    match bare(ty) {
        Type::Reference(reference) => is_byte_list(&reference.elem),
        other => is_byte_list(other) || only_parameter(other, "Option").is_some_and(is_bytes),
    }
}

fn is_byte_list(ty: &Type) -> bool {
    match bare(ty) {
        Type::Slice(slice) => is_named(&slice.elem, "u8"),
        other => only_parameter(other, "Vec").is_some_and(|elem| is_named(elem, "u8")),
    }
}

/// The `T` of `Name<T>`.
pub(super) fn only_parameter<'a>(ty: &'a Type, name: &str) -> Option<&'a Type> {
    let segment = last_segment(ty).filter(|segment| segment.ident == name)?;
    let PathArguments::AngleBracketed(arguments) = &segment.arguments else { return None };
    match arguments.args.first() {
        Some(GenericArgument::Type(ty)) if arguments.args.len() == 1 => Some(ty),
        _ => None,
    }
}

/// The answer and the error that a method returns.
pub(super) fn answer(output: &ReturnType, errors: &mut Errors) -> (Type, Option<Type>) {
    match output {
        ReturnType::Default => (parse_quote!(()), None),
        ReturnType::Type(_, ty) => fallible(ty, Role::Answer, errors),
    }
}

/// The type of the items that go through a stream argument.
pub(super) fn item(ty: &Type, errors: &mut Errors) {
    SentType { role: Role::Item, errors }.visit_type(ty);
}

/// The item and the error that a returned stream has.
pub(super) fn fallible_item(ty: &Type, errors: &mut Errors) -> (Type, Option<Type>) {
    fallible(ty, Role::Item, errors)
}

fn fallible(ty: &Type, role: Role<'_>, errors: &mut Errors) -> (Type, Option<Type>) {
    SentType { role, errors }.visit_type(ty);
    match result(ty) {
        None => (ty.clone(), None),
        Some(Ok((answer, error))) => (answer.clone(), Some(error.clone())),
        Some(Err(alias)) => {
            errors.at(alias, "a `Result` without its error type is an alias: write `Result<T, E>`");
            (ty.clone(), None)
        }
    }
}

/// Whether this is `()`.
pub(super) fn is_unit(ty: &Type) -> bool {
    matches!(bare(ty), Type::Tuple(tuple) if tuple.elems.is_empty())
}

/// The two types of a `Result<T, E>`; an alias of it as the error.
pub(super) fn result(ty: &Type) -> Option<Result<(&Type, &Type), &Path>> {
    let Type::Path(path) = bare(ty) else { return None };
    let segment = path.path.segments.last().filter(|segment| segment.ident == "Result")?;
    let PathArguments::AngleBracketed(arguments) = &segment.arguments else { return Some(Err(&path.path)) };
    let mut types = arguments.args.iter();
    match (types.next(), types.next(), types.next()) {
        (Some(GenericArgument::Type(answer)), Some(GenericArgument::Type(error)), None) => Some(Ok((answer, error))),
        _ => Some(Err(&path.path)),
    }
}

/// Whether this is the context of the call, and how it is taken.
pub(super) fn context(ty: &Type, errors: &mut Errors) -> Option<ContextArgument> {
    if is_named(ty, "Context") {
        return Some(ContextArgument::Owned);
    }
    let Type::Reference(reference) = bare(ty) else { return None };
    if !is_named(&reference.elem, "Context") {
        return None;
    }
    if let Some(mutability) = &reference.mutability {
        errors.at(mutability, "the context of a call cannot be changed: write `&Context`");
    }
    if let Some(lifetime) = reference.lifetime.as_ref().filter(|lifetime| lifetime.ident != "_") {
        errors.at(lifetime, "the context lives as long as the call: write `&Context`");
    }
    Some(ContextArgument::Borrowed)
}

fn is_named(ty: &Type, name: &str) -> bool {
    last_segment(ty).is_some_and(|segment| segment.ident == name)
}

pub(super) fn last_segment(ty: &Type) -> Option<&PathSegment> {
    match bare(ty) {
        Type::Path(path) => path.path.segments.last(),
        _ => None,
    }
}

/// The type without parentheses, and without the invisible ones that `macro_rules!` macros put around it.
pub(super) fn bare(ty: &Type) -> &Type {
    match ty {
        Type::Group(group) => bare(&group.elem),
        Type::Paren(paren) => bare(&paren.elem),
        _ => ty,
    }
}

/// What a type is for.
#[derive(Clone, Copy)]
enum Role<'a> {
    Argument { declared: &'a [Lifetime] },
    Answer,
    Item,
}

impl Role<'_> {
    fn name(self) -> &'static str {
        match self {
            Role::Argument { .. } => "an argument",
            Role::Answer => "an answer",
            Role::Item => "an item",
        }
    }

    /// What to do with a stream inside such a type.
    fn stream(self) -> &'static str {
        match self {
            Role::Argument { .. } => {
                "a stream is an argument of its own: write `Inbound<T>` for items that come in, or `Outbound<T>`"
            }
            Role::Answer => "a stream is no answer: return `impl Stream<Item = T>` alone, or take an `Outbound<T>`",
            Role::Item => "a stream is no part of an item: make it a stream of the method, or send `Vec<T>`",
        }
    }
}

/// Reports each part of a type that no value can be sent of.
struct SentType<'a> {
    role: Role<'a>,
    errors: &'a mut Errors,
}

impl<'ast> Visit<'ast> for SentType<'_> {
    fn visit_type_reference(&mut self, ty: &'ast TypeReference) {
        match self.role {
            Role::Answer | Role::Item => {
                let what = self.role.name();
                self.errors.at(
                    ty.and_token,
                    format_args!("{what} cannot borrow: write an owned type, such as `String` for `&str`"),
                );
                return self.visit_type(&ty.elem);
            }
            Role::Argument { .. } => {
                if let Some(mutability) = &ty.mutability {
                    self.errors.at(
                        mutability,
                        "an argument cannot be changed for the caller: remove `mut`, and answer with the new value",
                    );
                }
            }
        }
        visit::visit_type_reference(self, ty);
    }

    fn visit_lifetime(&mut self, lifetime: &'ast Lifetime) {
        match self.role {
            Role::Answer | Role::Item => {
                let what = self.role.name();
                self.errors.at(lifetime, format_args!("{what} cannot borrow: write an owned type without lifetimes"));
            }
            Role::Argument { declared } => {
                if lifetime.ident != "_" && !declared.contains(lifetime) {
                    self.errors
                        .at(lifetime, "an argument borrows from the request: leave the lifetime out, or write `'_`");
                }
            }
        }
    }

    fn visit_type_impl_trait(&mut self, ty: &'ast TypeImplTrait) {
        let message = match stream_bound(&ty.bounds) {
            Some(_) => self.role.stream(),
            None => "both nodes must know the type: write a concrete type instead of `impl Trait`",
        };
        self.errors.at(ty, message);
    }

    fn visit_type_trait_object(&mut self, ty: &'ast TypeTraitObject) {
        let message = match stream_bound(&ty.bounds) {
            Some(_) => self.role.stream(),
            None => "both nodes must know the type: write a concrete type, such as an enum, instead of `dyn Trait`",
        };
        self.errors.at(ty, message);
    }

    fn visit_path(&mut self, path: &'ast Path) {
        if let Some(last) = path.segments.last().filter(|last| is_stream(last)) {
            return self.errors.at(&last.ident, self.role.stream());
        }
        match path.segments.first() {
            Some(first) if first.ident == "Self" => {
                self.errors.at(&first.ident, "the client has another `Self` than the server: write a concrete type");
            }
            _ => visit::visit_path(self, path),
        }
    }

    /// Cannot be sent, but may name lifetimes of its own; rustc will say what is missing.
    fn visit_type_fn_ptr(&mut self, _: &'ast TypeFnPtr) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::render;

    fn form(ty: &Type) -> Form {
        let mut errors = Errors::new();
        let form = argument(ty, &[], &mut errors);
        assert_eq!(errors.finish().to_string(), "");
        form
    }

    #[test]
    fn borrows_that_serde_knows_are_decoded_as_written_and_others_are_lent() {
        for ty in [parse_quote!(&str), parse_quote!(&[u8]), parse_quote!(Option<&str>), parse_quote!((Row<'_>))] {
            assert!(matches!(form(&ty), Form::AsWritten), "{}", render(ty));
        }
        assert!(matches!(form(&parse_quote!(&[u32])), Form::Slice(ty) if render(&ty) == "u32"));
        assert!(matches!(form(&parse_quote!(&Row<'_>)), Form::Reference(ty) if render(&ty) == "Row<'_>"));
        assert!(matches!(form(&parse_quote!(&&str)), Form::Reference(ty) if render(&ty) == "&str"));
    }

    #[test]
    fn a_result_is_known_by_its_last_segment_and_needs_both_types() {
        let two: Type = parse_quote!(std::result::Result<u8, Oops>);
        assert!(matches!(result(&two), Some(Ok(_))));
        for alias in [parse_quote!(Result<u8>), parse_quote!(std::fmt::Result), parse_quote!(Result<A, B, C>)] {
            assert!(matches!(result(&alias), Some(Err(_))), "{}", render(alias));
        }
        assert!(result(&parse_quote!(Vec<Result<u8, Oops>>)).is_none());
    }

    #[test]
    fn what_cannot_be_sent_is_reported_part_by_part() {
        let refused: [(Type, usize); 6] = [
            (parse_quote!(&mut Vec<&'static str>), 2),
            (parse_quote!(Box<dyn Fn(&'a u8)>), 1),
            (parse_quote!((impl Into<u8>, Self)), 2),
            (parse_quote!(Cow<'a, str>), 1),
            (parse_quote!(Option<Self::Item>), 1),
            (parse_quote!((Vec<Inbound<&'a str>>, impl Stream, BoxStream<'a, u8>)), 3),
        ];
        for (ty, count) in refused {
            let mut errors = Errors::new();
            argument(&ty, &[], &mut errors);
            assert_eq!(errors.count(), count, "{}", render(ty));
            assert!(!errors.finish().is_empty());
        }
    }
}

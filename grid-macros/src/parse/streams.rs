//! Streams in a signature: `Inbound<T>` and `Outbound<T>` among the arguments, `impl Stream<Item = T>` as what is
//! returned.

use syn::{
    GenericArgument, Path, PathArguments, PathSegment, ReturnType, Signature, Type, TypeImplTrait, TypeParamBound,
    parse_quote,
};

use super::types::{self, bare, last_segment, only_parameter, result};
use crate::errors::Errors;
use crate::render::render;

/// Which way items go, seen from the handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    In,
    Out,
}

/// The direction of an argument that is the end of a stream, and the type of its items. In place of a misuse that rustc
/// would report a second time, the type is left as it should be.
pub(super) fn argument(ty: &mut Type, errors: &mut Errors) -> Option<(Direction, Type)> {
    let reference = match bare(ty) {
        Type::Reference(reference) => Some(reference.and_token),
        _ => None,
    };
    let (direction, segment) = end(ty)?;
    if let Some(reference) = reference {
        errors.at(
            reference,
            format_args!("a handler owns its end of the stream: take it by value, as `{}<T>`", segment.ident),
        );
    }
    Some((direction, argument_item(segment, errors)))
}

/// The segment that names the end of a stream, behind references as well.
fn end(ty: &mut Type) -> Option<(Direction, &mut PathSegment)> {
    match ty {
        Type::Group(group) => end(&mut group.elem),
        Type::Paren(paren) => end(&mut paren.elem),
        Type::Reference(reference) => end(&mut reference.elem),
        Type::Path(path) => {
            let segment = path.path.segments.last_mut()?;
            let direction = direction(segment)?;
            Some((direction, segment))
        }
        _ => None,
    }
}

fn direction(segment: &PathSegment) -> Option<Direction> {
    let names = [("Inbound", Direction::In), ("Outbound", Direction::Out)];
    names.into_iter().find_map(|(name, direction)| (segment.ident == name).then_some(direction))
}

/// The `T` of `Inbound<T>`, which it is left as.
fn argument_item(segment: &mut PathSegment, errors: &mut Errors) -> Type {
    let name = &segment.ident;
    let parameters = match &segment.arguments {
        PathArguments::AngleBracketed(arguments) => arguments.args.iter().collect(),
        PathArguments::Parenthesized(_) | PathArguments::None => Vec::new(),
    };
    let item = match parameters.as_slice() {
        [GenericArgument::Type(item)] => {
            types::item(item, errors);
            return item.clone();
        }
        [GenericArgument::Type(item), second, ..] => {
            let text = render(item);
            errors.at(
                second,
                format_args!("the error of a method stands only in what it returns: write `{name}<{text}>`"),
            );
            item.clone()
        }
        _ => {
            errors.at(name, format_args!("write the type of its items: `{name}<T>`"));
            parse_quote!(())
        }
    };
    segment.arguments = PathArguments::AngleBracketed(parse_quote!(<#item>));
    item
}

/// The items of a returned stream and the error among them, as far as they can be known. `None` if no stream is returned,
/// however badly it is written.
pub(super) fn returned(sig: &Signature, errors: &mut Errors) -> Option<(Type, Option<Type>)> {
    let ReturnType::Type(_, ty) = &sig.output else { return None };
    if let Type::ImplTrait(stream) = bare(ty)
        && let Some(path) = stream_bound(&stream.bounds)
    {
        if let Some(asyncness) = &sig.asyncness {
            errors.at(asyncness, "a stream is returned at once, and waits inside: remove `async`");
        }
        return Some(returned_item(path, errors));
    }
    let (message, instead) = if is_boxed_stream(ty) {
        ("a stream is returned as it is", "impl Stream<Item = T>")
    } else if let Some(Ok((answer, _))) = result(ty)
        && is_boxed_stream(answer)
    {
        ("a stream is returned alone, and its items have the error", "impl Stream<Item = Result<T, E>>")
    } else {
        return None;
    };
    let without = if sig.asyncness.is_some() { ", without `async`" } else { "" };
    errors.at(ty, format_args!("{message}: write `{instead}`{without}"));
    Some((parse_quote!(()), None))
}

/// The `T` and `E` of `Stream<Item = Result<T, E>>`.
fn returned_item(path: &Path, errors: &mut Errors) -> (Type, Option<Type>) {
    let item = path.segments.last().and_then(|segment| match &segment.arguments {
        PathArguments::AngleBracketed(arguments) => arguments.args.iter().find_map(|argument| match argument {
            GenericArgument::AssocType(item) if item.ident == "Item" => Some(&item.ty),
            _ => None,
        }),
        PathArguments::Parenthesized(_) | PathArguments::None => None,
    });
    match item {
        Some(item) => types::fallible_item(item, errors),
        None => {
            errors.at(path, "write the type of its items: `impl Stream<Item = T>`");
            (parse_quote!(()), None)
        }
    }
}

/// A stream in a box, or one that could be in it.
fn is_boxed_stream(ty: &Type) -> bool {
    match bare(ty) {
        Type::ImplTrait(ty) => stream_bound(&ty.bounds).is_some(),
        Type::TraitObject(ty) => stream_bound(&ty.bounds).is_some(),
        ty => {
            last_segment(ty).is_some_and(is_box_stream)
                || ["Pin", "Box"].iter().any(|outer| only_parameter(ty, outer).is_some_and(is_boxed_stream))
        }
    }
}

/// The aliases of `futures` for streams in boxes.
fn is_box_stream(segment: &PathSegment) -> bool {
    segment.ident == "BoxStream" || segment.ident == "LocalBoxStream"
}

/// Whether this names a stream or an end of one.
pub(super) fn is_stream(segment: &PathSegment) -> bool {
    direction(segment).is_some() || is_box_stream(segment)
}

/// The `Stream<..>` among these bounds.
pub(super) fn stream_bound<'a>(bounds: impl IntoIterator<Item = &'a TypeParamBound>) -> Option<&'a Path> {
    bounds.into_iter().find_map(|bound| match bound {
        TypeParamBound::Trait(bound) => {
            bound.path.segments.last().filter(|segment| segment.ident == "Stream").map(|_| &bound.path)
        }
        _ => None,
    })
}

/// The `impl Stream<..>` that a method returns.
pub(crate) fn returned_stream(output: &mut ReturnType) -> Option<&mut TypeImplTrait> {
    fn find(ty: &mut Type) -> Option<&mut TypeImplTrait> {
        match ty {
            Type::Group(group) => find(&mut group.elem),
            Type::Paren(paren) => find(&mut paren.elem),
            Type::ImplTrait(ty) => stream_bound(&ty.bounds).is_some().then_some(ty),
            _ => None,
        }
    }
    match output {
        ReturnType::Type(_, ty) => find(ty),
        ReturnType::Default => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_argument(mut ty: Type) -> (Option<(Direction, String)>, String, usize) {
        let mut errors = Errors::new();
        let found = argument(&mut ty, &mut errors).map(|(direction, item)| (direction, render(item)));
        let count = errors.count();
        assert_eq!(errors.finish().is_empty(), count == 0);
        (found, render(ty), count)
    }

    #[test]
    fn an_end_of_a_stream_is_known_by_its_last_segment() {
        for (ty, direction) in [
            (parse_quote!(Inbound<Row>), Direction::In),
            (parse_quote!((grid::Inbound<Row>)), Direction::In),
            (parse_quote!(::grid::Outbound<Row>), Direction::Out),
        ] {
            assert_eq!((of_argument(ty).0, 0), (Some((direction, "Row".into())), 0));
        }
        assert_eq!(of_argument(parse_quote!(Vec<Inbound<Row>>)).0, None);
        assert_eq!(of_argument(parse_quote!(Inbounds<Row>)).0, None);
    }

    #[test]
    fn a_badly_written_end_is_left_as_it_should_be() {
        for (ty, item, left) in [
            (parse_quote!(Inbound), "()", "Inbound<()>"),
            (parse_quote!(Outbound<'a>), "()", "Outbound<()>"),
            (parse_quote!(Outbound<Row, Oops>), "Row", "Outbound<Row>"),
            (parse_quote!(&mut Inbound<Row>), "Row", "&mut Inbound<Row>"),
        ] {
            let (found, after, count) = of_argument(ty);
            assert_eq!((found.unwrap().1.as_str(), after.as_str(), count), (item, left, 1));
        }
    }

    fn of_returned(sig: Signature) -> (Option<(String, Option<String>)>, usize) {
        let mut errors = Errors::new();
        let found = returned(&sig, &mut errors).map(|(item, error)| (render(item), error.map(render)));
        let count = errors.count();
        assert_eq!(errors.finish().is_empty(), count == 0);
        (found, count)
    }

    #[test]
    fn the_items_of_a_returned_stream_have_the_error() {
        let fallible = parse_quote!(fn f() -> impl futures::Stream<Item = Result<u8, Oops>> + Unpin);
        assert_eq!(of_returned(fallible), (Some(("u8".into(), Some("Oops".into()))), 0));
        let bare = parse_quote!(fn f() -> (impl Send + Stream<Item = Option<u8>>));
        assert_eq!(of_returned(bare), (Some(("Option<u8>".into(), None)), 0));
        assert_eq!(of_returned(parse_quote!(fn f() -> impl Iterator<Item = u8>)), (None, 0));
        assert_eq!(of_returned(parse_quote!(async fn f() -> Vec<u8>)), (None, 0));
    }

    #[test]
    fn each_bad_way_to_return_a_stream_is_one_misuse() {
        for sig in [
            parse_quote!(async fn f() -> impl Stream<Item = u8>),
            parse_quote!(fn f() -> impl Stream),
            parse_quote!(fn f() -> BoxStream<'_, u8>),
            parse_quote!(async fn f() -> Pin<Box<dyn Stream<Item = u8> + Send>>),
            parse_quote!(async fn f() -> Result<impl Stream<Item = u8>, Oops>),
            parse_quote!(fn f() -> Result<BoxStream<'static, u8>, Oops>),
        ] {
            let (found, count) = of_returned(sig);
            assert!(found.is_some());
            assert_eq!(count, 1);
        }
    }
}
